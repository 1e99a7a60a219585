"""The study on real data, on the cluster: the same jobs, the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from clusters.slurm.cluster import Cluster
from command_server import training_command, training_python
from killed_processes import StoredResults, count_events, read_results

from seedfold.orchestrator.ledger.layout import Root, StudyFolder

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]
DIGITS = ("experiment=digits", "size=tiny", "sampling.imbalance_ratio=1,10", "trainer.max_epochs=1")
JOBS = 12
PER_TASK = 6


def _launch(folder: Path, *args: str) -> StudyFolder:
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    command = [training_command(), "launch", "--wait", *DIGITS, *args]
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=1500, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Root(folder / "runs").study_folder("digits")


def _here(folder: Path) -> StoredResults:
    folder.mkdir()
    return read_results(_launch(folder, "seed=2", "fold=0"))


def _there(folder: Path) -> StudyFolder:
    packed = (f"cluster.jobs_per_task={PER_TASK}", "cluster.throttle=2", f"cluster.python={training_python()}")
    return _launch(folder, "seed=0,1,2", "fold=0", "cluster=slurm", *packed)


def test_packed_jobs_are_done_once_with_the_numbers_of_this_machine(on_slurm: Cluster, tmp_path: Path) -> None:
    study = _there(tmp_path)
    there = read_results(study)
    assert len(there) == JOBS
    assert set(count_events(study, "done").values()) == {1}
    (intent,) = study.submissions_folder.glob("*/intent.json")
    assert len(json.loads(intent.read_text())["jobs"]) == JOBS
    assert len(list((intent.parent / "tasks").glob("*.over"))) == JOBS // PER_TASK
    here = _here(tmp_path / "here")
    assert here.items() <= there.items()
