"""A program that is not ours on a cluster: its jobs in arrays by what each of them asks for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clusters.conftest import SlurmProject
from clusters.slurm.cluster import Cluster
from sweeps.strangers import Stranger, make_stranger
from toyproject import eventually

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
ON_SLURM = ("-m", "hydra/sweeper=seedfold", "hydra/launcher=seedfold_slurm")


@pytest.fixture
def stranger(slurm: Cluster, tmp_path: Path) -> Iterator[Stranger]:
    program = make_stranger(tmp_path / "project")
    known = {name: value for name, value in slurm.environment.items() if name == "SLURM_CONF"}
    program = replace(program, environment={**program.environment, **known})
    yield program
    SlurmProject(program.toy, slurm).clear()


def test_sweep_whose_program_is_killed_is_gone_on_with(stranger: Stranger, slurm: Cluster) -> None:
    points = ("model=small,large", "seed=1,2", "wait_for=go", "hydra.launcher.resources.cpus=${steps}")
    program = stranger.start(*ON_SLURM, *points)
    eventually(lambda: stranger.executions())
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    project = SlurmProject(stranger.toy, slurm)
    asked = {one.array.resources.cpus: len(one.jobs) for one in project.submissions("train") if one.array is not None}
    assert asked == {1: 2, 2: 2}
    (stranger.folder / "go").touch()
    said = stranger.run(*ON_SLURM, *points)
    assert "train: 4 jobs, nothing to start" in said
    assert "train: 4 done" in said
    assert len(stranger.executions()) == len(set(stranger.executions())) == 4
