"""The sentence on the best setting of a study: the pairs that it is of, and what it says where there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seedfold.results.comparison.lead import lead_line
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.tables.result_tables import metric_means, metrics

Make = Callable[..., FinishedJob]


def runs_of(make_run: Make, metric: str = "accuracy", seeds: int = 6, **values: float) -> list[FinishedJob]:
    """Two or more widths with a metric whose differences between two widths are the same for all seeds."""
    return [
        make_run({"width": width, "seed": seed}, metrics=[("val", "main", metric, value + seed / 100)])
        for width, value in values.items()
        for seed in range(seeds)
    ]


def test_the_best_is_compared_with_the_next_over_their_seeds(make_run: Make) -> None:
    runs = runs_of(make_run, narrow=0.5, broad=0.8, other=0.7)
    line = lead_line(metric_means(runs), runs, "accuracy")
    assert line is not None
    assert line.startswith("best accuracy: width=broad, before width=other: a difference of 0.1000 (95 % interval 0.1")
    assert line.endswith("Wilcoxon signed rank) over 6 pairs")


@pytest.mark.parametrize(("metric", "best"), [("loss", "narrow"), ("accuracy", "broad")])
def test_the_name_of_a_metric_tells_what_is_better(make_run: Make, metric: str, best: str) -> None:
    runs = runs_of(make_run, metric, narrow=0.5, broad=0.8)
    assert (lead_line(metric_means(runs), runs, metric) or "").startswith(f"best {metric}: width={best}, before width=")


def test_means_over_other_settings_are_compared_with_no_test(make_run: Make) -> None:
    runs = [
        make_run(
            {"width": width, "lr": lr, "seed": seed}, metrics=[("val", "main", "accuracy", width / 10 + lr + seed)]
        )
        for width in (1, 2)
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]
    line = lead_line(metrics(runs, by=["width"]), runs, "accuracy")
    assert line == "best accuracy: width=2, before width=1"


def test_nothing_is_said_of_one_setting_and_little_of_one_seed(make_run: Make) -> None:
    runs = runs_of(make_run, seeds=1, narrow=0.5, broad=0.8)
    assert (lead_line(metric_means(runs), runs, "accuracy") or "").endswith(
        "a difference of 0.3000 over 1 pair, too few to say more"
    )
    assert lead_line(metric_means(runs[:1]), runs[:1], "accuracy") is None
    assert lead_line(metric_means(runs), runs, "nothing") is None
