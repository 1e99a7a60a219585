from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest

from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.tables import result_tables as tables
from seedfold.results.tables.metric_means import NOTES, StudyPlan

Make = Callable[..., FinishedJob]
NAN = float("nan")


def run_of(make_run: Make, value: float | None, **axes: Any) -> FinishedJob:
    named = {key.replace("__", "."): axis for key, axis in axes.items()}
    return make_run(named, metrics=[("val", "main", "score", value)])


def counts(frame: pd.DataFrame, axis: str) -> Mapping[Any, tuple[float, int, int]]:
    columns = zip(frame[axis], frame["mean"], frame["n"], frame["expected"], strict=True)
    return {value: (round(mean, 6), n, expected) for value, mean, n, expected in columns}


def test_what_is_not_there_lowers_n_below_what_the_plan_has(make_run: Make) -> None:
    runs = [run_of(make_run, float(seed), seed=seed, model=model) for model in "ab" for seed in range(3)]
    done = [*runs[:2], *runs[3:]]
    plan = StudyPlan(runs, {runs[2].id: "failed (error)"})
    frame = tables.metric_means(done, plan=plan)
    assert counts(frame, "model") == {"a": (0.5, 2, 3), "b": (1.0, 3, 3)}
    assert frame.attrs[NOTES] == ["seed=2 model=a: failed (error)"]


def test_nan_lowers_n_and_is_named(make_run: Make) -> None:
    runs = [run_of(make_run, NAN if seed == 2 else 1.0, seed=seed) for seed in range(3)]
    frame = tables.metric_means(runs, plan=StudyPlan(runs))
    assert frame[["mean", "n", "expected", "undefined"]].to_numpy().tolist() == [[1.0, 2, 3, 1]]
    assert frame.attrs[NOTES] == ["seed=2: score is nan"]


def test_without_a_plan_what_is_there_is_expected(make_run: Make) -> None:
    runs = [run_of(make_run, 1.0, seed=seed) for seed in range(3)]
    frame = tables.metric_means(runs)
    assert frame["expected"].tolist() == frame["n"].tolist() == [3]
    assert frame.attrs[NOTES] == []


def test_a_condition_limits_what_is_expected(make_run: Make) -> None:
    runs = [run_of(make_run, 1.0, seed=seed) for seed in range(4)]
    frame = tables.metric_means(runs[:2], where="seed<3", plan=StudyPlan(runs))
    assert (frame["n"][0], frame["expected"][0]) == (2, 3)
    assert frame.attrs[NOTES] == ["seed=2: not finished"]
    assert tables.metric_means(runs[:2], where="seed<2", plan=StudyPlan(runs)).attrs[NOTES] == []


def test_means_over_tasks_are_over_those_that_all_rows_have(make_run: Make) -> None:
    # At ratio 10 the easy task is impossible: over all tasks, the mean would fall from 0.6 to 0.5.
    values = {("hard", 1): 0.3, ("fair", 1): 0.5, ("easy", 1): 1.0, ("hard", 10): 0.4, ("fair", 10): 0.6}
    runs = [run_of(make_run, value, task=task, ratio=ratio) for (task, ratio), value in values.items()]
    frame = tables.metrics(runs, by=["ratio"], plan=StudyPlan(runs))
    assert counts(frame, "ratio") == {1: (0.4, 2, 3), 10: (0.5, 2, 2)}
    assert frame.attrs[NOTES] == ["means over the 2 of 3 values of task that all rows have; without task=easy"]


def test_rows_without_a_common_task_say_so(make_run: Make) -> None:
    runs = [run_of(make_run, 0.5, task="a", model="x"), run_of(make_run, 0.9, task="b", model="y")]
    frame = tables.metrics(runs, by=["model"], plan=StudyPlan(runs))
    assert counts(frame, "model") == {"x": (0.5, 1, 1), "y": (0.9, 1, 1)}
    assert frame.attrs[NOTES] == [
        "each row is over other values of task, and no value is in all rows: compare them with care"
    ]


def test_a_study_that_compares_something_else_has_other_problems(make_run: Make) -> None:
    runs = [
        run_of(make_run, score, model=model, data=data)
        for model, data, score in [("x", "a", 0.1), ("x", "b", 0.9), ("y", "a", 0.2)]
    ]
    assert counts(tables.metrics(runs, by=["model"]), "model") == {"x": (0.5, 2, 2), "y": (0.2, 1, 1)}
    plan = StudyPlan(runs, compare=["model"])
    assert counts(tables.metrics(runs, by=["model"], plan=plan), "model") == {"x": (0.1, 1, 2), "y": (0.2, 1, 1)}


def test_a_metric_that_only_some_tasks_define_restricts_no_other(make_run: Make) -> None:
    def make(task: str, model: str, auroc: float | None) -> FinishedJob:
        return make_run(
            {"task": task, "model": model}, metrics=[("val", "main", "accuracy", 0.5), ("val", "main", "auroc", auroc)]
        )

    runs = [make("a", "x", 0.6), make("b", "x", 0.8), make("a", "y", 0.7), make("b", "y", None)]
    frame = tables.metrics(runs, by=["model"], plan=StudyPlan(runs))
    n = frame.set_index(["model", "metric"])["n"]
    assert n.to_dict() == {("x", "accuracy"): 2, ("x", "auroc"): 1, ("y", "accuracy"): 2, ("y", "auroc"): 1}
    assert frame.attrs[NOTES][0].startswith("auroc: means over the 1 of 2 values of task")


@pytest.mark.parametrize("axis", ["n", "expected"])
def test_axes_named_as_columns_are_kept_apart(make_run: Make, axis: str) -> None:
    runs = [make_run({axis: value, "seed": 0}, metrics=[("val", "main", "score", 1.0)]) for value in (1, 2)]
    frame = tables.metric_means(runs)
    assert frame[f"axis.{axis}"].tolist() == [1, 2]
    assert frame["expected"].tolist() == [1, 1]
