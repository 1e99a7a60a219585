from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import ConfigFailure, Work
from seedfold.results.stages import mean as mean_stage
from seedfold.results.store.finished_job import FinishedJob

Make = Callable[..., FinishedJob]


def work(folder: Path, runs: Sequence[FinishedJob], **settings: Any) -> Work:
    staging = folder / "mean"
    staging.mkdir()
    job = JobDescription("b" * 64, "study", "mean", {}, {"mean": settings}, (), Resources(), "run", "f" * 64)
    return Work(job, 1, folder, staging, {run.id: run.folder for run in runs}, {run.id: run.stage for run in runs})


def two_models(make_run: Make, classes: int = 2) -> list[FinishedJob]:
    targets, runs = np.array([0, 1]), []
    for model in ("a", "b"):
        for fold in range(2):
            val = ([f"s{fold}", f"s{fold + 2}"], targets, {"main": np.zeros((2, classes))})
            runs.append(make_run({"model": model, "fold": fold}, {"val": val}))
    return runs


@pytest.mark.parametrize(
    ("kept", "classes", "given", "says"),
    [
        (4, 2, {"overs": "model"}, r"mean\.overs: unknown key \(did you mean 'over'\?\)"),
        (4, 2, {"over": "modle"}, "modle"),
        (4, 3, {}, "the probability of class 1 of two classes"),
        (3, 2, {}, "fold 1 missing"),
        (0, 2, {}, "no parent has predictions"),
    ],
)
def test_models_that_make_no_mean_are_refused(
    make_run: Make, tmp_path: Path, kept: int, classes: int, given: dict[str, Any], says: str
) -> None:
    asked = work(tmp_path, two_models(make_run, classes)[:kept], **given)
    with pytest.raises(ConfigFailure, match=says):
        mean_stage.run(asked)
    assert list(asked.staging.iterdir()) == []
