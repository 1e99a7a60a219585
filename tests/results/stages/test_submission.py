from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.work import ConfigFailure
from seedfold.results.stages.submission import SubmissionSettings, group_by_passes
from seedfold.results.store.finished_job import FinishedJob


def run(fold: int, passes: int | None = None, k: int = 3) -> FinishedJob:
    axes: dict[str, Any] = {"fold": fold} | ({} if passes is None else {"predict.tta": passes})
    config = {"fold": fold, "task": {"folds": {"k": k}}}
    return FinishedJob(f"{fold}-{passes}", "study", "train", axes, 1, Path(), config=config)


def test_each_number_of_passes_has_all_folds_in_order() -> None:
    found = group_by_passes([run(fold, passes) for passes in (11, 1) for fold in (2, 0, 1)], "predict.tta")
    assert [variant.passes for variant in found] == [1, 11]
    assert [[variant.fold_of_run(number) for number in range(3)] for variant in found] == [[0, 1, 2]] * 2
    [only] = group_by_passes([run(fold) for fold in range(3)], "predict.tta")
    assert only.passes == 1


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([], "no parent has predictions"),
        ([run(0), run(2)], r"predict.tta=1 has 2 jobs of folds \[0, 2\], it needs one of each of \[0, 1, 2\]"),
        ([run(0), run(0), run(1), run(2)], r"has 4 jobs of folds \[0, 0, 1, 2\]"),
    ],
)
def test_missing_and_repeated_folds_are_told(runs: list[FinishedJob], says: str) -> None:
    with pytest.raises(ConfigFailure, match=says):
        group_by_passes(runs, "predict.tta")


def test_an_unknown_setting_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigFailure, match=r"submission\.pases: unknown key \(did you mean 'passes'\?\)"):
        SubmissionSettings.from_config({"submission": {"pases": "seed"}})
