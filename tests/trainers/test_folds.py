from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.folds import divide, permuted_folds
from seedfold.trainers.data.samples import UNKNOWN, Samples, check


def samples(targets: Any, groups: Any = None) -> Samples:
    count = len(targets)
    named = None if groups is None else np.asarray(groups).astype(str)
    ids = tuple(f"s{row}" for row in range(count))
    return Samples(ids, np.zeros((count, 1), np.float32), np.asarray(targets, np.int64), named)


def task(kind: str, k: int, *, seed: int = 0, test: float = 0.2) -> dict[str, Any]:
    return {
        "folds": {"kind": kind, "k": k, "seed": seed},
        "test": {"fraction": test, "kind": kind, "seed": seed},
    }


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["kfold", "permuted", "stratified", "grouped", "stratified_grouped"]),
    k=st.integers(2, 5),
    seed=st.integers(0, 2**31),
    size=st.integers(2, 9),
    test=st.sampled_from([0.0, 0.15, 0.3]),
    data=st.data(),
)
def test_each_development_sample_validates_once_and_groups_stay_together(
    kind: str, k: int, seed: int, size: int, test: float, data: st.DataObject
) -> None:
    count = 40 * size
    groups = np.asarray(data.draw(st.permutations(range(count)))) % 20
    given_samples = samples(np.arange(count) % 2, groups)
    divisions = [divide(given_samples, task(kind, k, seed=seed, test=test), fold) for fold in range(k)]

    held_out = divisions[0].test
    development = np.setdiff1d(np.arange(count), held_out)
    assert np.array_equal(np.sort(np.concatenate([division.val for division in divisions])), development)
    for division in divisions:
        assert np.array_equal(division.test, held_out)
        assert np.array_equal(np.sort(np.concatenate([division.train, division.val])), development)
        if "grouped" in kind:
            parts = [set(groups[rows]) for rows in (division.train, division.val, division.test)]
            assert sum(map(len, parts)) == len(set.union(*parts))


def test_stratified_folds_have_the_shares_of_the_whole() -> None:
    rare = samples([1] * 50 + [0] * 450)
    division = divide(rare, task("stratified", 5), 2)
    assert [int(rare.targets[rows].sum()) for rows in (division.train, division.val, division.test)] == [32, 8, 10]


def test_the_division_depends_on_its_seeds_only() -> None:
    data = samples(np.arange(200) % 4)
    first = divide(data, task("stratified", 4, seed=1), 0)
    again = divide(data, task("stratified", 4, seed=1), 0)
    other = divide(data, task("stratified", 4, seed=2), 0)
    assert np.array_equal(first.val, again.val)
    assert not np.array_equal(first.val, other.val)


@pytest.mark.parametrize(
    ("settings", "fold", "error", "says"),
    [
        (task("stratified", 3), 3, ConfigFailure, "fold: 3 is not among the 3 folds"),
        (task("stratified", 3), -1, ConfigFailure, "fold: -1"),
        (task("stratifid", 3), 0, ConfigFailure, "task.test.kind: 'stratifid'"),
        (task("kfold", 1), 0, ConfigFailure, "task.folds.k: 1"),
        (task("grouped", 3), 0, ConfigFailure, "needs task.source.group"),
        (task("kfold", 3, test=1.5), 0, ConfigFailure, "task.test.fraction: 1.5"),
        (task("stratified", 30), 0, DataFailure, "cannot be divided"),
        ({}, 0, ConfigFailure, "task.folds: is missing"),
    ],
)
def test_what_cannot_be_divided_says_why(settings: Any, fold: int, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        divide(samples([0] * 20 + [1] * 20), settings, fold)
    assert "\n" not in str(caught.value)


def test_permuted_folds_are_a_permutation_modulo_k() -> None:
    # The permutation that numpy has drawn from seed 7 since its first versions: 8 5 0 2 1 9 7 3 6 4.
    assert [fold.tolist() for fold in permuted_folds(10, 3, 7)] == [[2, 5, 7, 8], [4, 6, 9], [0, 1, 3]]
    with pytest.raises(DataFailure, match="2 samples cannot be divided into 3 folds"):
        permuted_folds(2, 3, 7)


def test_data_may_say_itself_what_is_held_out_and_then_its_classes_may_be_unknown() -> None:
    given_samples = samples([0, 1, UNKNOWN, 0, 1, 1])
    held_out = np.asarray([False, False, True, False, False, True])
    settings = {"folds": {"kind": "permuted", "k": 2, "seed": 0}, "test": {"kind": "given"}}
    with pytest.raises(ConfigFailure, match="holds no samples out by itself"):
        divide(given_samples, settings, 0)
    whole = check(replace(given_samples, held_out=held_out), "cases.csv", 2)
    divisions = [divide(whole, settings, fold) for fold in range(2)]
    assert [division.test.tolist() for division in divisions] == [[2, 5], [2, 5]]
    assert sorted(row for division in divisions for row in division.val) == [0, 1, 3, 4]
    with pytest.raises(DataFailure, match=r"cases.csv: row 3 \(s2\) has target -1"):
        check(replace(given_samples, held_out=~held_out), "cases.csv", 2)
