"""Which setting is the best so far, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from seedfold.results.comparison.paired_tests import signed_rank_p
from seedfold.results.report.best_rows import best_of_table
from seedfold.results.report.headline import make_mean_table
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import load_result

Make = Callable[..., FinishedJob]
GAINS = (0.02, 0.03, 0.01, 0.02, 0.04, 0.03)


def best_of(runs: Sequence[FinishedJob], compare: Sequence[str] | None = None) -> list[dict[str, object]]:
    results = {run.id: load_result(run.folder) for run in runs}
    table = make_mean_table(runs, results, ["seed"], 50, runs, compare)
    return [each.to_json() for each in best_of_table(table, ["seed"])]


def test_the_best_by_validation_is_compared_with_the_next_over_equal_seeds(make_run: Make) -> None:
    runs = [
        make_run(
            {"lr": lr, "width": width, "seed": seed},
            metrics=[("test", "main", "accuracy", 1 - base), ("val", "main", "accuracy", base + gain * (lr == 0.1))],
        )
        for lr, width, base in ((0.1, 8, 0.8), (0.1, 4, 0.6), (1.0, 8, 0.8))
        for seed, gain in enumerate(GAINS)
    ]
    [found] = best_of(runs)
    assert (found["metric"], found["settings"], found["within"]) == ("val.accuracy", 3, {})
    assert found["best"] == {"axes": {"lr": 0.1, "width": 8}, "text": "0.825 ± 0.010", "jobs": "6"}
    assert found["next"] == {"axes": {"lr": 1.0, "width": 8}, "text": "0.800 ± 0.000", "jobs": "6"}
    difference = found["difference"]
    assert isinstance(difference, dict)
    assert difference["mean"] == pytest.approx(0.025)
    assert 0.01 < difference["low"] < 0.025 < difference["high"] < 0.04
    assert difference["p"] == pytest.approx(signed_rank_p(np.array(GAINS)))
    assert difference["pairs"] == 6
    assert str(found["certainty"]).startswith(
        "The first is better by 0.025 over 6 pairs of jobs with the same seed (95 %"
    )
    assert str(found["certainty"]).endswith(
        "p = 0.031, Wilcoxon signed rank): hardly by chance."
        " That these are the first two of 3 is not taken into account."
    )


def test_of_an_error_the_smallest_is_the_best_within_each_problem(make_run: Make) -> None:
    runs = [
        make_run({"task": task, "lr": lr, "seed": 0}, metrics=[("val", "main", "log_loss", loss)])
        for task, lr, loss in (("a", 0.1, 0.5), ("a", 1.0, 0.4), ("b", 0.1, 0.2), ("b", 1.0, 0.3))
    ]
    found = best_of(runs, compare=["lr"])
    assert [(each["within"], each["best"]) for each in found] == [
        ({"task": "a"}, {"axes": {"lr": 1.0}, "text": "0.400", "jobs": "1"}),
        ({"task": "b"}, {"axes": {"lr": 0.1}, "text": "0.200", "jobs": "1"}),
    ]
    difference = found[0]["difference"]
    assert isinstance(difference, dict)
    assert (round(difference["mean"], 3), difference["low"], difference["pairs"]) == (-0.1, None, 1)


def test_settings_without_a_common_seed_have_no_difference(make_run: Make) -> None:
    runs = [
        make_run({"lr": lr, "seed": seed}, metrics=[("val", "main", "accuracy", lr)])
        for lr, seed in ((0.1, 0), (0.2, 1))
    ]
    [found] = best_of(runs)
    assert found["difference"] is None
    assert found["certainty"] == "No two of their jobs have the same seed: how sure their order is cannot be said."


def test_nothing_is_best_of_one_setting_or_of_a_metric_that_nobody_knows(make_run: Make) -> None:
    alone = [make_run({"lr": 0.1, "seed": seed}, metrics=[("val", "main", "accuracy", 0.5)]) for seed in (0, 1)]
    assert best_of(alone) == []
    unknown = [make_run({"lr": lr, "seed": 0}, metrics=[("val", "main", "wobble", lr)]) for lr in (0.2, 0.3)]
    assert best_of(unknown) == []
