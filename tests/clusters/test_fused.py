"""Jobs that train together in one task of a real SLURM: requeued in the middle, they go on from their checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clusters.slurm.cluster import Cluster
from command_server import training_python
from killed_processes import count_events
from toyproject import SEEDFOLD, wait_until

from seedfold.jobs.study import load_study
from seedfold.jobs.work import Work
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.trainers.stages import fit_predict

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]
# Without the last batch of an epoch, which is smaller in some of the jobs, one step is one call for all of them.
STUDY = ("experiment=digits", "size=tiny", "study=together", "trainer.drop_last=true")
ASKED = (*STUDY, "model=mlp", "model._target_=noting_model.NotingMLP")
JOBS, TRIES = 4, 2
SLOW, STEPS = "slow", "steps"
MODEL = """
import os, time
from pathlib import Path
from seedfold.trainers.models.networks import MLP

FOLDER = Path("{folder}")


class NotingMLP(MLP):
    # Notes each of its steps, and is slow while a file is there.
    def forward(self, inputs):
        if self.training:
            with (FOLDER / "{steps}").open("a") as file:
                file.write(f"{{os.getpid()}}\\n")
            time.sleep(0.5 * (FOLDER / "{slow}").exists())
        return super().forward(inputs)
"""
TOLERANCE = 1e-4
"""The promise of docs/how-to/fuse.md."""


def steps_of(folder: Path) -> Counter[str]:
    """How many steps each process made, each of them for all of its jobs; the first `TRIES` are with copies."""
    file = folder / STEPS
    return Counter(file.read_text().splitlines() if file.exists() else [])


def logits_of(staging: Path) -> pd.DataFrame:
    return pd.read_parquet(staging / "predictions.test.parquet").filter(like="logit_")


def train_alone(folder: Path) -> dict[str, pd.DataFrame]:
    """Run each job of the study alone, in this process; return the logits of its test split by its id."""
    found = {}
    for job in load_study(ASKED).jobs():
        work = Work(job, 1, folder / job.id, folder / f"{job.id}.staging")
        work.staging.mkdir(parents=True)
        fit_predict.run(work)
        found[job.id] = logits_of(work.staging)
    return found


def test_jobs_of_one_task_train_together_and_a_requeue_has_each_go_on(
    tmp_path: Path, on_slurm: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noting_model.py").write_text(MODEL.format(folder=tmp_path, steps=STEPS, slow=SLOW))
    (tmp_path / SLOW).touch()
    own = {"SEEDFOLD_ROOT": str(tmp_path / "runs"), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [SEEDFOLD, "launch", *ASKED, f"fuse={JOBS}", "cluster=slurm", "cluster.keeper=false"]
    command.append(f"cluster.python={training_python()}")
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **own}, check=True, timeout=600)
    study = Root(tmp_path / "runs").study_folder("together")
    [submission] = (Submission.read(folder) for folder in study.submissions_folder.iterdir())
    assert [len(submission.jobs_of_task(index)) for index in range(submission.task_count)] == [JOBS]
    try:
        wait_until(lambda: steps_of(tmp_path).total() >= 8)
        on_slurm.run("scontrol", "requeue", f"{submission.scheduler_id()}_0")
        wait_until(lambda: len(steps_of(tmp_path)) == 2)
        (tmp_path / SLOW).unlink()
        wait_until(lambda: submission.tasks.record_of(0).is_over)
    finally:
        on_slurm.run("scancel", str(submission.scheduler_id()))
    steps = steps_of(tmp_path)
    assert set(count_events(study, "done").values()) == {1}
    claims = [file for file in study.path.glob("claims/*/*") if not file.name.startswith("fit-")]
    assert sorted(int(claim.name.rpartition(".")[2]) for claim in claims) == [1] * JOBS + [2] * JOBS
    assert len({json.loads(claim.read_text())["process"]["pid"] for claim in claims}) == 2

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / STEPS).unlink()
    alone = train_alone(tmp_path / "alone")
    # Each process tried some steps with copies; none of the others was made twice.
    assert steps.total() == steps_of(tmp_path).total() // JOBS + 2 * TRIES
    results = sorted(study.path.glob("store/*/*/result.json"))
    assert len(results) == JOBS
    for file in results:
        record = json.loads(file.read_text())
        assert record["provenance"]["fused"]["note"] == f"{JOBS} jobs were trained together"
        np.testing.assert_allclose(logits_of(file.parent), alone[record["id"]], rtol=TOLERANCE, atol=TOLERANCE)
