"""Pairs of jobs differ in the compared axis alone, and what cannot be paired is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.results.comparison.pairs import Comparison, find_comparisons
from seedfold.results.evaluation.axes import Group
from seedfold.results.store.finished_job import FinishedJob

Make = Callable[..., list[FinishedJob]]


def run(**axes: Any) -> FinishedJob:
    return FinishedJob(repr(sorted(axes.items())), "study", "train", axes, 1, Path("nowhere"))


def grid(**axes: list[Any]) -> list[FinishedJob]:
    points: list[dict[str, Any]] = [{}]
    for name, values in axes.items():
        points = [{**point, name: value} for point in points for value in values]
    return [run(**point) for point in points]


def places(comparison: Comparison) -> list[Mapping[str, Any]]:
    for pair in comparison.pairs:
        assert {**pair.first.axes, comparison.over: 0} == {**pair.second.axes, comparison.over: 0}
    return [pair.axes for pair in comparison.pairs]


def test_pairs_have_the_same_seed_and_fold_and_problems_stay_apart() -> None:
    found = find_comparisons(grid(loss=["ce", "focal"], task=["a", "b"], seed=[0, 1], fold=[0, 1, 2]), "loss")
    assert [(each.name, each.axes, each.expected, len(each.pairs)) for each in found] == [
        ("ce → focal", {"task": "a"}, 6, 6),
        ("ce → focal", {"task": "b"}, 6, 6),
    ]
    assert places(found[0])[:2] == [{"seed": 0, "fold": 0}, {"seed": 0, "fold": 1}]
    assert found[0].fold == "fold"
    assert found[0].folds == 3


def test_each_two_values_are_compared() -> None:
    found = find_comparisons(grid(lr=[0.1, 0.2, 0.3], seed=[0, 1]), "lr")
    assert [each.name for each in found] == ["0.1 → 0.2", "0.1 → 0.3", "0.2 → 0.3"]
    assert found[0].fold is None


def test_what_one_value_lacks_is_named() -> None:
    planned = grid(loss=["ce", "focal"], seed=[0, 1, 2])
    runs = [each for each in planned if (each.axes["loss"], each.axes["seed"]) != ("focal", 1)]
    [found] = find_comparisons([each for each in runs if each.axes != {"loss": "ce", "seed": 2}], "loss", planned)
    assert (len(found.pairs), found.expected) == (1, 3)
    assert found.unpaired == ("seed=1: focal not done", "seed=2: ce not done")


def test_axes_that_go_along_with_the_compared_one_do_not_hinder() -> None:
    runs = [run(model=model, lr=lr, seed=seed) for model, lr in (("mlp", 0.1), ("cnn", 0.01)) for seed in (0, 1)]
    [found] = find_comparisons(runs, "model", runs)
    assert (len(found.pairs), found.axes) == (2, {})


def test_axes_that_go_along_with_the_fold_are_part_of_it() -> None:
    runs = [run(loss=loss, fold=fold, file=f"cut{fold}.csv") for loss in ("ce", "focal") for fold in (0, 1, 2)]
    [found] = find_comparisons(runs, "loss", runs)
    assert found.fold_axes == ("fold", "file")
    assert len(found.pairs) == 3


def test_other_seeds_are_no_pairs() -> None:
    runs = [run(loss="ce", seed=0), run(loss="focal", seed=1)]
    with pytest.raises(
        UsageError, match="no two jobs that are done differ only in this axis; they also differ in seed"
    ):
        find_comparisons(runs, "loss", runs)


def test_one_value_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="have only one value, ce, so there is nothing to compare"):
        find_comparisons(grid(loss=["ce"], seed=[0, 1]), "loss")
    with pytest.raises(UsageError, match="did you mean 'loss'"):
        find_comparisons(grid(loss=["ce"], seed=[0, 1]), "los")


def test_folds_are_counted_by_the_configuration_and_else_by_the_plan() -> None:
    runs = grid(loss=["ce", "focal"], fold=[0, 1])
    assert find_comparisons(runs, "loss", grid(loss=["ce", "focal"], fold=[0, 1, 2, 3]))[0].folds == 4
    configured = [replace(each, config={"task": {"folds": {"k": 5}}}) for each in runs]
    assert find_comparisons(configured, "loss")[0].folds == 5


def test_stages_stay_apart() -> None:
    runs = grid(loss=["ce", "focal"], seed=[0, 1])
    runs += [replace(each, id=f"other {each.id}", stage="tune") for each in runs]
    assert [each.stage for each in find_comparisons(runs, "loss")] == ["train", "tune"]


def test_places_need_not_be_jobs() -> None:
    runs = grid(study=["one", "two"], seed=[0])
    [found] = find_comparisons(runs, "study", [Group("train", each.axes, ()) for each in runs])
    assert found.name == "one → two"
