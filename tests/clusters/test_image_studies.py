"""The studies of images on the cluster, from raw files to what they are for; tiny of the tiny."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clusters.slurm.cluster import Cluster
from killing import told
from toyproject import SEEDFOLD

from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]
PACKED = ("cluster=slurm", "cluster.jobs_per_task=20", "cluster.throttle=1")


@dataclass(frozen=True)
class Study:
    """A study, what is launched of it, how many jobs its stages have then, and the file that it ends in (a glob).

    ``samples`` is what that file has, probabilities in the column ``probability`` of a table, or masks.
    """

    name: str
    overrides: tuple[str, ...]
    stages: dict[str, int]
    file: str
    samples: int
    probability: str = "target"

    @property
    def data(self) -> str:
        """The name of the sample data."""
        return self.name.removesuffix("_metadata")

    def check(self, file: Path) -> None:
        """Look whether it holds something for every sample, and not the same for all."""
        found = list(np.load(file).values()) if file.suffix == ".npz" else pd.read_csv(file)[self.probability]
        assert len(found) == self.samples
        assert all(np.min(each) >= 0 and np.max(each) <= 1 for each in found)
        assert len({np.asarray(each).tobytes() for each in found}) > 1


_METADATA = "stages.metadata.matrix.model=naive_bayes"
_ONE_EPOCH = "trainer.max_epochs=1,1,1,1,1"
STUDIES = (
    Study(
        "mgmt",
        ("stages.train.table.rows=[0]", "trainer.max_epochs=1", "ensemble.min_accuracy=0"),
        {"train": 3, "ensemble": 1},
        "ensemble/submission.csv",
        9,
        "pred",
    ),
    Study(
        "seti",
        ("predict.tta=1", _ONE_EPOCH),
        {"survey": 1, "train": 5, "submit": 1},
        "submit/submission.csv",
        24,
    ),
    Study(
        "melanoma_metadata",
        (_METADATA,),
        {"describe": 1, "metadata": 5, "mean": 1},
        "mean/meta_pred.csv",
        60,
    ),
    Study(
        "melanoma",
        (_METADATA, "task.side=32", "predict.tta=1", "trainer.max_epochs=1"),
        {"describe": 1, "metadata": 5, "survey": 1, "train": 3, "mean": 1, "submit": 1, "blend": 1},
        "blend/submission.csv",
        60,
    ),
    Study(
        "dark_side",
        ("trainer.max_epochs=3,3,3,3,3",),
        {"slices": 1, "new_slices": 1, "train": 5, "infer": 5, "ensemble": 1},
        "ensemble/*/submission.npz",
        2,
    ),
)


def _run(folder: Path, *args: str) -> None:
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    command, environment = [SEEDFOLD, *args], {**os.environ, **own}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500, check=False
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
    [file] = folder.outputs.glob(study.file)
    study.check(file)


def _arrays(folder: StudyFolder) -> list[Path]:
    """Submissions of which SLURM has told a task's end."""
    return [path for path in folder.submissions.iterdir() if list((path / "tasks").glob("*.over"))]
