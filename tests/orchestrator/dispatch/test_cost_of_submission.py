"""What submitting a study costs in calls of the scheduler and in files, however many jobs it has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toyproject import Toy

MANY = """# @package _global_
study: many
run: toy.light.summary
matrix:
  seed: range(0,{jobs})
"""
PROGRAM = """#!/bin/sh
echo "{name} $1" >> {calls}
{answer}
"""
ANSWERS = {
    "sbatch": 'case "$1" in --parsable) echo 101 ;; esac',
    "scontrol": 'echo "MaxArraySize = 10001"',
    "squeue": "",
    "sacct": "",
}


@pytest.fixture
def calls(toy: Toy, tmp_path: Path) -> Path:
    """A SLURM that takes everything and notes what it is asked; its notes."""
    folder, notes = tmp_path / "slurm", tmp_path / "calls"
    folder.mkdir()
    for name, answer in ANSWERS.items():
        (folder / name).write_text(PROGRAM.format(name=name, calls=notes, answer=answer))
        (folder / name).chmod(0o755)
    toy.environment["PATH"] = f"{folder}:{toy.environment.get('PATH', os.environ['PATH'])}"
    return notes


@pytest.mark.parametrize("jobs", [2, 2000])
def test_an_array_costs_three_calls_and_eight_files(toy: Toy, calls: Path, jobs: int) -> None:
    toy.write_experiment("many", MANY.format(jobs=jobs))
    cluster = ("cluster=slurm", "cluster.keeper=false", "cluster.snapshot=false")
    launched = toy.run_in_process("launch", "--config-dir", "conf", "experiment=many", *cluster)
    assert launched.returncode == 0, launched.stderr
    assert calls.read_text().splitlines() == ["sbatch --test-only", "scontrol show", "sbatch --parsable"]
    files = [file.relative_to(toy.root) for file in toy.root.rglob("*") if file.is_file()]
    assert len(files) <= 8, files
