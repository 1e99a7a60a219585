"""The studies of images on the cluster, from raw files to what they are for; tiny of the tiny."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from clusters.slurm.cluster import Cluster
from killing import told
from toyproject import SEEDFOLD

from seedfold.orchestrator.layout import Root, StudyFolder
from seedfold.orchestrator.ledger import Ledger

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900)]
PACKED = ("cluster=slurm", "cluster.jobs_per_task=20", "cluster.throttle=1")


@dataclass(frozen=True)
class Study:
    """A study, what is launched of it, how many jobs its stages have then, and the file that it ends in.

    ``probability`` is the column of that file that holds some; ``samples`` is how many rows it has.
    """

    name: str
    overrides: tuple[str, ...]
    stages: dict[str, int]
    file: str
    probability: str
    samples: int

    @property
    def data(self) -> str:
        """The name of the sample data."""
        return self.name.removesuffix("_metadata")


STUDIES = (
    Study(
        "mgmt",
        ("stages.train.table.rows=[0]", "trainer.max_epochs=1", "ensemble.min_accuracy=0"),
        {"train": 3, "ensemble": 1},
        "ensemble/submission.csv",
        "pred",
        9,
    ),
    Study(
        "seti",
        ("predict.tta=1", "trainer.max_epochs=1,1,1,1,1"),
        {"survey": 1, "train": 5, "submit": 1},
        "submit/submission.csv",
        "target",
        24,
    ),
    Study(
        "melanoma_metadata",
        (),
        {"describe": 1, "metadata": 15, "mean": 1},
        "mean/meta_pred.csv",
        "target",
        60,
    ),
)


def _run(folder: Path, *args: str) -> None:
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    command, environment = [SEEDFOLD, *args], {**os.environ, **own}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=800, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_runs_on_slurm_from_raw_files_to_its_submission(
    on_slurm: Cluster, tmp_path: Path, study: Study
) -> None:
    _run(tmp_path, "make-data", study.data, "--out", "data")
    size = (f"experiment={study.name}", "size=tiny", "paths.data=data")
    _run(tmp_path, "launch", "--wait", *size, *PACKED, *study.overrides)
    folder = Root(tmp_path / "runs").study(study.name)
    jobs = Ledger(folder).plans.current.values()
    assert Counter(job.stage for job in jobs) == study.stages
    assert told(folder, "done") == Counter(job.id for job in jobs)
    assert len(_arrays(folder)) == len(study.stages)
    table = pd.read_csv(folder.outputs / study.file)
    assert len(table) == study.samples
    assert table[study.probability].between(0, 1).all()
    assert table[study.probability].nunique() > 1


def _arrays(folder: StudyFolder) -> list[Path]:
    """Submissions of which SLURM has told a task's end."""
    return [path for path in folder.submissions.iterdir() if list((path / "tasks").glob("*.over"))]
