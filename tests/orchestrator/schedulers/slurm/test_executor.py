"""What `sbatch` may say, and what it means for the jobs: accepted, refused, or not known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.slurm.executor import ArrayExecutor


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArrayExecutor:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "sbatch").touch(mode=0o755)
    return ArrayExecutor(tmp_path / "submission", "python", None, 10)


def submit(executor: ArrayExecutor, tmp_path: Path, sbatch: str) -> str:
    """Submit and test a script with an `sbatch` that does what a line of shell says."""
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{sbatch}\n")
    executor.test_script(tmp_path / "script.sh")
    return executor.submit_script(tmp_path / "script.sh")


def test_the_number_is_that_of_the_job(executor: ArrayExecutor, tmp_path: Path) -> None:
    assert submit(executor, tmp_path, "echo '12;cluster'") == "12"


@pytest.mark.parametrize("sbatch", ["kill -9 $$", "kill -15 $$", "exit 1", "echo Killed >&2; exit 137", "exit 0"])
def test_who_says_nothing_has_not_refused(executor: ArrayExecutor, tmp_path: Path, sbatch: str) -> None:
    with pytest.raises(UnreachableError, match="sbatch: "):
        submit(executor, tmp_path, sbatch)


@pytest.mark.parametrize("code", [1, 255])
def test_who_says_no_has_refused(executor: ArrayExecutor, tmp_path: Path, code: int) -> None:
    with pytest.raises(RefusedError, match="invalid partition"):
        submit(executor, tmp_path, f"echo 'sbatch: error: invalid partition specified: nix' >&2; exit {code}")
