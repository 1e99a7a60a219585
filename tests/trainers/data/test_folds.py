from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.fold_balance import make_balance_table
from seedfold.trainers.data.folds import divide_samples, make_permuted_folds, make_task_shards
from seedfold.trainers.data.samples import UNKNOWN, Samples, check_samples


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


def folds(kind: str, k: int, seed: int = 42, **given: Any) -> dict[str, Any]:
    return {"folds": {"kind": kind, "k": k, "seed": seed, **given}}


SHARDS = {"kind": "dealt", "count": 20, "seed": 42}


@pytest.mark.slow
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
    divisions = [divide_samples(given_samples, task(kind, k, seed=seed, test=test), fold) for fold in range(k)]

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
    division = divide_samples(rare, task("stratified", 5), 2)
    assert [int(rare.targets[rows].sum()) for rows in (division.train, division.val, division.test)] == [32, 8, 10]


def test_the_division_depends_on_its_seeds_only() -> None:
    data = samples(np.arange(200) % 4)
    first = divide_samples(data, task("stratified", 4, seed=1), 0)
    again = divide_samples(data, task("stratified", 4, seed=1), 0)
    other = divide_samples(data, task("stratified", 4, seed=2), 0)
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
        (task("dealt", 3), 0, ConfigFailure, "task.test.kind: dealt is only for folds"),
        (folds("dealt", 50), 0, DataFailure, "task.folds: 40 samples cannot be divided into 50 parts as dealt"),
        (folds("triple_stratified", 3), 0, ConfigFailure, "needs task.source.group"),
        (folds("kfold", 3, shards="as_read"), 0, ConfigFailure, "task.folds.shards: as_read, but the samples"),
        (folds("stratified", 3, shards=SHARDS), 0, ConfigFailure, "task.folds.kind: 'stratified': shards are divided"),
        ({}, 0, ConfigFailure, "task.folds: is missing"),
    ],
)
def test_what_cannot_be_divided_says_why(settings: Any, fold: int, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        divide_samples(samples([0] * 20 + [1] * 20), settings, fold)
    assert "\n" not in str(caught.value)


def test_permuted_folds_are_a_permutation_modulo_k() -> None:
    # The permutation that numpy has drawn from seed 7 since its first versions: 8 5 0 2 1 9 7 3 6 4.
    assert [fold.tolist() for fold in make_permuted_folds(10, 3, 7)] == [[2, 5, 7, 8], [4, 6, 9], [0, 1, 3]]
    with pytest.raises(DataFailure, match="2 samples cannot be divided into 3 folds"):
        make_permuted_folds(2, 3, 7)


def test_data_may_say_itself_what_is_held_out_and_then_its_classes_may_be_unknown() -> None:
    given_samples = samples([0, 1, UNKNOWN, 0, 1, 1])
    held_out = np.asarray([False, False, True, False, False, True])
    settings = {"folds": {"kind": "permuted", "k": 2, "seed": 0}, "test": {"kind": "given"}}
    with pytest.raises(ConfigFailure, match="holds no samples out by itself"):
        divide_samples(given_samples, settings, 0)
    whole = check_samples(replace(given_samples, held_out=held_out), "cases.csv", 2)
    divisions = [divide_samples(whole, settings, fold) for fold in range(2)]
    assert [division.test.tolist() for division in divisions] == [[2, 5], [2, 5]]
    assert sorted(row for division in divisions for row in division.val) == [0, 1, 3, 4]
    with pytest.raises(DataFailure, match=r"cases.csv: row 3 \(s2\) has target -1"):
        check_samples(replace(given_samples, held_out=~held_out), "cases.csv", 2)


def test_folds_over_all_samples_are_cut_to_those_of_development() -> None:
    """As ``numpy.random.seed(0)`` and a permutation of all cases, modulo 3, divide both cohorts."""
    held_out = np.arange(20) % 4 == 1
    whole = replace(samples([0, 1] * 10), held_out=held_out)
    task = {"folds": {"kind": "permuted", "k": 3, "seed": 0, "over": "all"}, "test": {"kind": "given"}}
    np.random.seed(0)
    number = np.random.permutation(20) % 3
    for fold in range(3):
        division = divide_samples(whole, task, fold)
        assert division.val.tolist() == np.flatnonzero((number == fold) & ~held_out).tolist()
        assert division.train.tolist() == np.flatnonzero((number != fold) & ~held_out).tolist()
        assert division.test.tolist() == np.flatnonzero(held_out).tolist()
    with pytest.raises(ConfigFailure, match=r"task\.folds\.over: 'both' is not one of development, all"):
        divide_samples(whole, {**task, "folds": {**task["folds"], "over": "both"}}, 0)


@pytest.mark.parametrize("over", ["all", "development"])
def test_the_data_may_name_the_folds(over: str) -> None:
    named = np.asarray([0, 2, 1, 1, -1, 0, 2])
    whole = replace(samples([0, 1, 0, 1, 0, 1, 0]), held_out=named < 0, shards=named)
    task = {"folds": {"kind": "given", "k": 3, "seed": 0, "over": over}, "test": {"kind": "given"}}
    assert [divide_samples(whole, task, fold).val.tolist() for fold in range(3)] == [[0, 5], [2, 3], [1, 6]]
    with pytest.raises(DataFailure, match=r"the data has the folds 0, 1, 2, and task\.folds\.k needs 0 to 1"):
        divide_samples(whole, {**task, "folds": {**task["folds"], "k": 2}}, 0)
    with pytest.raises(ConfigFailure, match=r"given needs task\.source\.fold"):
        divide_samples(replace(whole, shards=None), task, 0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), parts=st.integers(2, 7), data=st.data())
def test_dealt_parts_share_every_class_and_group_evenly_however_small(
    seed: int, parts: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(parts, 60))
    targets = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    groups = np.array(data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count)))
    vals = [divide_samples(samples(targets, groups), folds("dealt", parts, seed), part).val for part in range(parts)]
    assert sorted(np.concatenate(vals).tolist()) == list(range(count))
    for rows in (targets >= 0, targets == 1, *((targets == 0) & (groups == group) for group in "abc")):
        counts = [int(rows[val].sum()) for val in vals]
        assert max(counts) - min(counts) <= 1


def test_folds_of_whole_shards_are_stratified_and_the_same_every_time() -> None:
    generator = np.random.default_rng(0)
    data = samples(generator.random(2000) < 0.1, generator.choice(list("0123456789abcdef"), 2000))
    settings = folds("kfold", 5, shards=SHARDS)
    shards = make_task_shards(data, settings)
    assert shards is not None
    assert np.bincount(shards).tolist() == [100] * 20
    vals = [divide_samples(data, settings, fold).val for fold in range(5)]
    published = KFold(5, shuffle=True, random_state=42).split(range(20))
    assert [sorted(set(shards[val].tolist())) for val in vals] == [test.tolist() for _, test in published]
    table = make_balance_table(data, shards, "shard", 2)
    assert table["class_1"].max() - table["class_1"].min() <= 1
    assert table["samples"].sum() == 2000
    read = replace(data, shards=shards)
    assert divide_samples(read, folds("kfold", 5, shards="as_read"), 3).val.tolist() == vals[3].tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), parts=st.integers(2, 15))
def test_triple_stratified_parts_agree_in_positives_group_sizes_and_samples(seed: int, parts: int) -> None:
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(200), generator.choice([1, 2, 3, 9], 200)).astype(str)
    data = samples(generator.random(len(groups)) < 0.06, groups)
    settings = folds("kfold", parts, shards={"kind": "triple_stratified", "count": parts, "seed": seed})
    shards = make_task_shards(data, settings)
    assert shards is not None
    table = make_balance_table(data, shards, "shard", 2)
    assert table["shared_groups"].sum() == 0
    assert table["groups"].sum() == len(np.unique(groups))
    most = np.bincount(np.unique(groups, return_inverse=True)[1], weights=data.targets).max()
    assert table["class_1"].max() - table["class_1"].min() <= most
    # Groups with positives come first and are dealt by these alone; the rest evens out sizes.
    assert table["groups"].max() - table["groups"].min() <= 5
    assert table["samples"].max() - table["samples"].min() <= 0.25 * table["samples"].mean() + 9
    again = make_task_shards(data, settings)
    assert np.array_equal(shards, again)
