"""The sentences on the best setting of a table of means: what is compared, and what they say where nothing can be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seedfold.results.comparison.best_of_means import best_of_means
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


def texts(runs: list[FinishedJob], metric: str = "accuracy", **options: str) -> list[str]:
    return [each.text for each in best_of_means(metric_means(runs, **options), runs, metric, **options)]


def test_the_best_is_compared_with_the_next_over_their_seeds(make_run: Make) -> None:
    runs = runs_of(make_run, narrow=0.5, broad=0.8, other=0.7)
    [line] = texts(runs)
    assert line.startswith(
        "best of 3 so far: width=broad with val.accuracy 0.825 ± 0.019 (6 jobs); next is width=other with 0.725 ± 0.019"
        " (6 jobs). The first is better by 0.1 over 6 pairs of jobs with the same seed (95 % interval 0.1 to 0.1; p "
    )
    assert line.endswith("hardly by chance. That these are the first two of 3 is not taken into account.")


@pytest.mark.parametrize(("metric", "best"), [("loss", "narrow"), ("accuracy", "broad")])
def test_the_name_of_a_metric_tells_what_is_better(make_run: Make, metric: str, best: str) -> None:
    [line] = texts(runs_of(make_run, metric, narrow=0.5, broad=0.8), metric)
    assert line.startswith(f"best of 2 so far: width={best} with ")
    assert "The first is better by 0.3 over 6 pairs" in line
    assert texts(runs_of(make_run, "wobble", narrow=0.5, broad=0.8), "wobble") == []


def test_settings_are_compared_within_one_task_and_by_validation(make_run: Make) -> None:
    runs = [
        make_run(
            {"task": task, "lr": lr, "seed": 0},
            metrics=[("test", "main", "accuracy", 1 - lr), ("val", "main", "accuracy", lr)],
        )
        for task in ("a", "b")
        for lr in (0.25, 0.5)
    ]
    found = texts(runs)
    assert [line[: line.index(" with")] for line in found] == [
        "task=a: best of 2 so far: lr=0.5",
        "task=b: best of 2 so far: lr=0.5",
    ]
    assert "better by 0.25 over 1 pair of jobs with the same seed: too few" in found[0]


def test_conditions_of_the_table_hold_for_what_is_compared(make_run: Make) -> None:
    runs = runs_of(make_run, narrow=0.5, broad=0.8)
    assert " over 2 pairs " in texts(runs, where="seed=0,1")[0]


def test_of_means_over_other_settings_nobody_knows_how_sure_they_are(make_run: Make) -> None:
    runs = [
        make_run(
            {"width": width, "lr": lr, "seed": seed}, metrics=[("val", "main", "accuracy", width / 10 + lr + seed)]
        )
        for width in (1, 2)
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]
    [found] = best_of_means(metrics(runs, by=["width"]), runs, "accuracy")
    assert found.best.axes == {"width": 2}
    assert found.paired is None
    assert found.text.endswith("The means are over other settings as well: how sure their order is cannot be said.")


def test_axes_that_some_jobs_lack_or_that_are_no_texts_find_their_jobs(make_run: Make) -> None:
    runs = [
        make_run(axes | {"seed": seed}, metrics=[("val", "main", "accuracy", number + seed / 8)])
        for number, axes in enumerate(({"kind": "a"}, {"kind": "b", "depth": 3}, {"kind": "b", "layers": [1, 2]}))
        for seed in (0, 1)
    ]
    [found] = best_of_means(metric_means(runs), runs, "accuracy")
    assert (found.best.axes, found.second.axes) == ({"kind": "b", "layers": [1, 2]}, {"kind": "b", "depth": 3})


def test_nothing_is_said_of_one_setting(make_run: Make) -> None:
    runs = runs_of(make_run, seeds=1, narrow=0.5)
    assert texts(runs) == []
    assert texts(runs, "nothing") == []
