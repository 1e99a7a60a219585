"""A study whose jobs are trained together, through the real command: its tables are those of jobs alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from clusters.slurm.cluster import Cluster
from killed_processes import count_events
from toyproject import SEEDFOLD, wait_until

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ASKED = ("experiment=digits", "size=tiny", "model=mlp", "model._target_=watched_model.WatchedMLP", "study=together")
JOBS, TRIES = 4, 2
KILL, SLOW, STEPS = "kill-me", "slow", "steps"
MODEL = """
import os, signal, time
from pathlib import Path
from seedfold.trainers.models.networks import MLP

FOLDER = Path("{folder}")


class WatchedMLP(MLP):
    # Dies while it is built if a file says so; notes each of its steps, and is slow while another file is there.
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        try:
            (FOLDER / "{kill}").unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def forward(self, inputs):
        if self.training:
            with (FOLDER / "{steps}").open("a") as file:
                file.write(f"{{os.getpid()}}\\n")
            time.sleep(0.5 * (FOLDER / "{slow}").exists())
        return super().forward(inputs)
"""
TOLERANCE = 1e-4


def run(folder: Path, *args: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "watched_model.py").write_text(MODEL.format(folder=folder, kill=KILL, slow=SLOW, steps=STEPS))
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    ended = subprocess.run(
        [SEEDFOLD, *args], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each job trained alone."""
    folder = tmp_path_factory.mktemp("study") / "alone"
    run(folder, "launch", "--wait", *ASKED)
    return folder


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All jobs trained together on this machine."""
    folder = tmp_path_factory.mktemp("study") / "fused"
    run(folder, "launch", "--wait", *ASKED, f"fuse={JOBS}", "cluster.slots=1")
    return folder


def study_of(folder: Path) -> StudyFolder:
    return Root(folder / "runs").study_folder("together")


def results_of(folder: Path) -> dict[str, Any]:
    """The published records by job, and beside each the logits of its test split."""
    found = {}
    for file in sorted(study_of(folder).path.glob("store/*/*/result.json")):
        record = json.loads(file.read_text())
        predictions = pd.read_parquet(file.with_name("predictions.test.parquet"))
        found[record["id"]] = record, predictions.filter(like="logit_")
    return found


def claims_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The processes of the attempts, without the claims that a killed one has left on its fit."""
    files = [file for file in study_of(folder).path.glob("claims/*/*") if not file.name.startswith("fit-")]
    return {file.name: json.loads(file.read_text())["process"] for file in files}


def steps_of(folder: Path) -> Counter[str]:
    """How many steps each process made, each of them for all of its jobs; the first `TRIES` are with copies."""
    file = folder / STEPS
    return Counter(file.read_text().splitlines() if file.exists() else [])


def assert_agree(folder: Path, alone: Path) -> None:
    expected, found = results_of(alone), results_of(folder)
    assert found.keys() == expected.keys()
    assert len(found) == JOBS
    for job, (record, logits) in found.items():
        assert abs(logits.to_numpy() - expected[job][1].to_numpy()).max() < TOLERANCE
        assert len(record["metrics"]) == len(expected[job][0]["metrics"])


def test_tables_agree_and_each_job_says_that_it_was_trained_with_others(alone: Path, fused: Path) -> None:
    assert_agree(fused, alone)
    notes = {record["provenance"]["fused"]["note"] for record, _ in results_of(fused).values()}
    assert notes == {"4 jobs were trained together"}
    assert len({process["pid"] for process in claims_of(fused).values()}) == 1
    assert "4 jobs were trained together" in run(
        fused, "show", "train", "seed=0", "fold=0", "imbalance_ratio=1", "weighting=none"
    )


def test_a_killed_process_takes_no_result_along(alone: Path, tmp_path: Path) -> None:
    (tmp_path / KILL).touch()
    run(tmp_path, "launch", "--wait", *ASKED, f"fuse={JOBS}", "cluster.slots=1")
    assert sorted(int(name.rpartition(".")[2]) for name in claims_of(tmp_path)) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert_agree(tmp_path, alone)


@pytest.mark.slurm
def test_a_task_of_a_cluster_trains_them_together_and_goes_on_from_their_checkpoints(
    alone: Path, fused: Path, tmp_path: Path, on_slurm: Cluster
) -> None:
    (tmp_path / SLOW).touch()
    run(tmp_path, "launch", *ASKED, f"fuse={JOBS}", "cluster=slurm", "cluster.keeper=false")
    [submission] = (Submission.read(folder) for folder in study_of(tmp_path).submissions_folder.iterdir())
    assert [len(submission.jobs_of_task(index)) for index in range(submission.task_count)] == [JOBS]
    try:
        wait_until(lambda: steps_of(tmp_path).total() >= 8)
        on_slurm.run("scontrol", "requeue", f"{submission.scheduler_id()}_0")
        wait_until(lambda: len(steps_of(tmp_path)) == 2)
        (tmp_path / SLOW).unlink()
        wait_until(lambda: submission.tasks.record_of(0).is_over)
    finally:
        on_slurm.run("scancel", str(submission.scheduler_id()))
    assert_agree(tmp_path, alone)
    assert set(count_events(study_of(tmp_path), "done").values()) == {1}
    assert sorted(int(name.rpartition(".")[2]) for name in claims_of(tmp_path)) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len({process["pid"] for process in claims_of(tmp_path).values()}) == 2
    # No step was made twice, but those with copies with which each process tries whether it works.
    assert steps_of(tmp_path).total() == steps_of(fused).total() + TRIES


def test_what_is_to_be_exact_is_not_trained_together(tmp_path: Path) -> None:
    ended = subprocess.run(
        [SEEDFOLD, "launch", "--exact", *ASKED[:3], "fuse=auto"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--exact: jobs of stage train are trained together" in ended.stderr
    assert not (tmp_path / "runs").exists()
