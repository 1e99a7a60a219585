from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seedfold.results.evaluation.missing_values import (
    PlaceNames,
    find_missing_jobs,
    find_undefined,
    missing_lines,
)
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import load_result

Make = Callable[..., FinishedJob]
NAN = float("nan")


def make_grid(make_run: Make, values: dict[tuple[int, int], float | None]) -> list[FinishedJob]:
    return [
        make_run({"seed": seed, "fold": fold}, metrics=[("val", "main", "loss", value)])
        for (seed, fold), value in values.items()
    ]


def lines(runs: list[FinishedJob], planned: list[FinishedJob], reasons: dict[str, str], **options: Any) -> list[str]:
    metrics = [load_result(run.folder).metrics for run in runs]
    missing = [*find_undefined(runs, metrics), *find_missing_jobs(runs, planned, reasons)]
    return missing_lines(missing, PlaceNames(planned), **options)


def test_each_missing_value_is_named_with_its_reason(make_run: Make) -> None:
    runs = make_grid(make_run, {(0, 0): 1.0, (0, 1): NAN, (1, 0): None, (1, 1): 2.0, (2, 0): 3.0, (2, 1): 4.0})
    reasons = {runs[4].id: "not finished (running)", runs[5].id: "failed (nan)"}
    assert lines(runs[:4], runs, reasons) == [
        "seed=0 fold=1: loss is nan",
        "seed=1 fold=0: loss is undefined",
        "seed=2 fold=1: failed (nan)",
        "seed=2 fold=0: not finished (running)",
    ]


def test_jobs_that_lack_the_same_for_the_same_reason_are_told_together(make_run: Make) -> None:
    runs = make_grid(make_run, {(seed, fold): NAN if seed == 1 else 1.0 for seed in range(3) for fold in range(2)})
    assert lines(runs, runs, {}) == ["seed=1 (2 jobs): loss is nan"]


def test_a_job_that_nobody_knows_of_is_not_finished(make_run: Make) -> None:
    runs = make_grid(make_run, {(0, 0): 1.0, (1, 0): 1.0})
    assert lines(runs[:1], runs, {}) == ["seed=1: not finished"]


def test_many_missing_values_are_cut_and_counted_by_kind(make_run: Make) -> None:
    # Neither a seed nor a fold is common to all that failed, or to all that are not finished.
    runs = make_grid(make_run, {(seed, fold): 1.0 for seed in range(4) for fold in range(4)})
    failed = [run for run in runs if run.axes["seed"] == run.axes["fold"]]
    absent = [run for run in runs if run.axes["seed"] != run.axes["fold"]][:6]
    done = [run for run in runs if run not in failed and run not in absent]
    found = lines(done, runs, {run.id: "failed (error)" for run in failed}, listed=2)
    assert found == [
        "seed=0 fold=0: failed (error)",
        "seed=1 fold=1: failed (error)",
        "and 8 more (2 failed, 6 not finished)",
    ]


def test_a_metric_that_no_job_defines_is_told_once(make_run: Make) -> None:
    runs = make_grid(make_run, {(0, 0): None, (1, 0): None})
    assert lines(runs, runs, {}) == ["every job: loss is undefined"]


def test_several_metrics_are_told_in_one_line_with_their_splits(make_run: Make) -> None:
    rows = [("val", "main", name, NAN) for name in ("a", "b")] + [("test", "main", "a", NAN)]
    bad, good = make_run({"seed": 0}, metrics=rows), make_run({"seed": 1}, metrics=[("val", "main", "a", 1.0)])
    assert lines([bad, good], [bad, good], {}) == ["seed=0: val a and val b and test a are nan"]
