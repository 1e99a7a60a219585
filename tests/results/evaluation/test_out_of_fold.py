from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.out_of_fold import oof, oof_metrics
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import classification_metrics, log_probabilities

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]
N = 24
IDS = np.array([f"s{i}" for i in range(N)])
TRUTH = np.arange(N) % 2


def fold_runs(
    make_run: Make, folds: np.ndarray, logits: np.ndarray, axes: dict[str, Any], drop: set[int]
) -> list[FinishedJob]:
    runs = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        if int(fold) not in drop:
            split = (list(IDS[rows]), TRUTH[rows], {"main": logits[rows]})
            runs.append(make_run({**axes, "fold": int(fold)}, {"val": split}))
    return runs


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    folds=st.lists(st.integers(0, 4), min_size=N, max_size=N).map(np.array),
    seed=st.integers(0, 10**6),
    number=st.uuids(),
)
def test_any_partition_is_put_together_again(make_run: Make, folds: np.ndarray, seed: int, number: Any) -> None:
    logits = np.random.default_rng(seed).normal(size=(N, 2)).astype(np.float32)
    runs = fold_runs(make_run, folds, logits, {"number": str(number)}, set())
    frame = oof(runs)
    assert sorted(frame["sample_id"]) == sorted(IDS)
    ordered = frame.set_index("sample_id").loc[IDS]
    assert np.array_equal(ordered[["logit_0", "logit_1"]].to_numpy(), logits)
    assert ordered["target"].tolist() == TRUTH.tolist()
    assert ordered["fold"].tolist() == folds.tolist()
    assert frame["complete"].all()
    pooled = oof_metrics(runs).set_index("metric")
    expected = classification_metrics(TRUTH, log_probabilities(logits))
    assert pooled["value"].to_dict() == pytest.approx(expected)
    assert set(pooled["samples"]) == {N}
    assert set(pooled["folds"]) == {len(np.unique(folds))}


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(N)),
    drop=st.sets(st.integers(0, 3), min_size=1, max_size=3),
    number=st.uuids(),
)
def test_missing_folds_are_named_with_their_samples(
    make_run: Make, order: list[int], drop: set[int], number: Any
) -> None:
    folds = np.empty(N, int)
    folds[order] = np.arange(N) % 4
    logits = np.zeros((N, 2))
    whole = fold_runs(make_run, folds, logits, {"number": str(number), "seed": 6}, set())
    runs = whole + fold_runs(make_run, folds, logits, {"number": str(number), "seed": 7}, drop)
    with pytest.raises(UsageError, match="out-of-fold: ") as caught:
        oof(runs)
    for fold in range(4):
        named = f"number={number} seed=7: fold {fold} missing, {N // 4} samples" in str(caught.value)
        assert named == (fold in drop)
    assert "seed=6:" not in str(caught.value)
    partial = oof(runs, partial=True)
    assert partial.groupby("seed")["complete"].unique().map(list).to_dict() == {6: [True], 7: [False]}
    assert (partial["seed"] == 7).sum() == N - len(drop) * N // 4
    metrics = oof_metrics(runs, partial=True)
    assert metrics.groupby("seed")["complete"].first().to_dict() == {6: True, 7: False}


def test_what_no_run_has_is_known_from_the_plan(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    done = [run for run in runs if run.axes["fold"] != 2 and run.axes != {"seed": 1, "fold": 0}]
    assert set(oof([run for run in done if run.axes["seed"] == 0])["complete"]) == {True}
    with pytest.raises(UsageError, match="seed=1: fold 0 missing, 10 samples") as caught:
        oof(done, planned=runs)
    assert "seed=0: fold 2 missing; seed=1: fold 0 missing, 10 samples; seed=1: fold 2 missing;" in str(caught.value)
    absent = [run for run in runs if run.axes["seed"] == 0]
    with pytest.raises(UsageError, match="seed=1: fold 0 missing; seed=1: fold 1 missing"):
        oof(absent, planned=runs)
    assert len(oof(absent, planned=runs, where="seed=0")) == 30


def with_folds(runs: list[FinishedJob], k: Any) -> list[FinishedJob]:
    """The runs as jobs whose configuration cuts the samples into ``k`` folds."""
    return [replace(run, config={"task": {"folds": {"k": k}}}) for run in runs]


def test_folds_that_were_never_planned_are_missing(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    planned = with_folds(runs, 5)
    with pytest.raises(UsageError) as caught:
        oof(runs, planned=planned)
    never = "folds 3, 4 of 5 were never planned"
    assert f"out-of-fold: seed=0: {never}; seed=1: {never}; launch these folds as well, or use only" in str(
        caught.value
    )
    assert not oof(runs, planned=planned, partial=True)["complete"].any()
    assert not oof_metrics(runs, planned=planned, partial=True)["complete"].any()
    with pytest.raises(UsageError, match="seed=0: fold 1 missing, 10 samples; seed=0: fold 3 of 4 was never planned;"):
        oof([run for run in runs if run.axes != {"seed": 0, "fold": 1}], planned=with_folds(runs, 4))


def test_folds_are_known_to_be_all_where_as_many_are_planned(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    assert oof(runs, planned=with_folds(runs, 3))["complete"].all()
    assert oof(runs, planned=with_folds(runs, 2))["complete"].all(), "folds are numbered otherwise"
    assert oof(runs, planned=with_folds(runs, None))["complete"].all()


def test_a_selection_of_folds_asks_for_no_others(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    planned = with_folds(runs, 5)
    assert len(oof(runs, planned=planned, where="fold=0,1 seed=0")) == 20
    with pytest.raises(UsageError, match="out-of-fold: seed=1: fold 3 of 5 was never planned; launch"):
        oof(runs, planned=planned, where="fold<4 seed=1")


def test_each_task_has_its_own_number_of_folds(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=(0,), task=("small", "large"))
    planned = [with_folds([run], 3 if run.axes["task"] == "small" else 4)[0] for run in runs]
    with pytest.raises(UsageError, match="out-of-fold: task=large seed=0: fold 3 of 4 was never planned; launch"):
        oof(runs, planned=planned)
    frame = oof(runs, planned=planned, partial=True)
    assert frame.groupby("task")["complete"].first().to_dict() == {"small": True, "large": False}


def test_folds_that_overlap_are_no_partition(make_run: Make) -> None:
    split = {"val": (["a", "b"], np.array([0, 1]), {"main": np.zeros((2, 2))})}
    runs = [make_run({"fold": fold}, split) for fold in (0, 1)]
    with pytest.raises(UsageError, match=r"2 samples are in more than one fold \('a', 'b'\)"):
        oof(runs)
    with pytest.raises(UsageError, match="more than one fold"):
        oof(runs, partial=True)


def test_heads_are_pooled_apart(make_run: Make) -> None:
    runs = []
    for fold in (0, 1):
        ids, truth = [f"{fold}a", f"{fold}b"], np.array([0, 1])
        logits = {"one": np.full((2, 1), fold), "two": np.full((2, 2), 10 + fold)}
        runs.append(make_run({"fold": fold}, {"val": (ids, truth, logits)}))
    frame = oof(runs)
    assert frame.groupby("head")["sample_id"].apply(list).to_dict() == {
        "one": ["0a", "0b", "1a", "1b"],
        "two": ["0a", "0b", "1a", "1b"],
    }
    assert frame[frame["head"] == "one"]["logit_1"].isna().all()
    assert set(oof_metrics(runs)["head"]) == {"one", "two"}


def test_axes_zipped_with_the_fold_go_with_it(make_run: Make) -> None:
    runs = [
        make_run(
            {"fold": fold, "model.size": 10 * fold, "seed": seed},
            {"val": ([f"{fold}"], np.array([0]), {"main": np.zeros((1, 2))})},
        )
        for seed in (0, 1)
        for fold in range(3)
    ]
    with pytest.raises(UsageError, match=r"model\.size=0 seed=0: fold 1 missing"):
        oof(runs)
    assert not oof(runs, partial=True)["complete"].any()
    for frame in (oof(runs, over=["fold", "model.size"]), oof(runs, planned=runs)):
        assert frame["complete"].all()
        assert frame.groupby("seed")["model.size"].apply(list).to_dict() == {0: [0, 10, 20], 1: [0, 10, 20]}


def test_an_axis_that_only_seems_to_follow_the_fold_still_groups(make_run: Make) -> None:
    """Half of a crossed matrix is done: fold 0 at ratio 1, fold 1 at ratio 10."""
    places = [{"fold": fold, "ratio": ratio} for fold in (0, 1) for ratio in (1, 10)]
    runs = [
        make_run(axes, {"val": ([f"{axes['fold']}"], np.array([0]), {"main": np.zeros((1, 2))})}) for axes in places
    ]
    with pytest.raises(UsageError, match=r"ratio=1: fold 1 missing; ratio=10: fold 0 missing"):
        oof([runs[0], runs[3]], planned=runs)


def test_stages_without_folds_are_left_out(make_run: Make, make_cross_validation: MakeMany) -> None:
    other = make_run({"seed": 1}, {"val": (["s000"], np.array([0]), {"main": np.zeros((1, 3))})}, stage="final")
    assert set(oof([other, *make_cross_validation()])["stage"]) == {"train"}
    with pytest.raises(UsageError, match="fold: no such axis in these runs; axes: seed"):
        oof([other])


def test_runs_that_do_not_fit_together_are_named(make_run: Make) -> None:
    narrow = make_run({"fold": 0}, {"val": (["a"], np.array([0]), {"main": np.zeros((1, 2))})})
    wide = make_run({"fold": 1}, {"val": (["b"], np.array([0]), {"main": np.zeros((1, 3))})})
    number = make_run({"fold": 2}, {"val": (["b"], np.array([0.5]), {"main": np.zeros((1, 1))})})
    single = make_run({"fold": 3}, {"val": (["b"], np.array([1]), {"main": np.zeros((1, 1))})})
    with pytest.raises(UsageError, match="head 'main' has 2 and 3 logits"):
        oof([narrow, wide])
    with pytest.raises(UsageError, match="classes in one job and numbers in another"):
        oof([number, single])
    other_head = make_run({"fold": 4}, {"val": (["c"], np.array([0]), {"aux": np.zeros((1, 2))})})
    with pytest.raises(UsageError, match="they have different heads"):
        oof([narrow, other_head])
    without = make_run({"fold": 5}, {"test": (["c"], np.array([0]), {"main": np.zeros((1, 2))})})
    with pytest.raises(UsageError, match=f"job {without.short_id}: has no predictions of split 'val'"):
        oof([narrow, without])


def test_unknown_targets_stay_unknown(make_run: Make) -> None:
    masked = np.ma.MaskedArray([0, 1], mask=[True, False])
    runs = [make_run({"fold": 0}, {"val": (["a", "b"], masked, {"main": np.zeros((2, 2))})})]
    assert oof(runs)["target"].tolist() == [pd.NA, 1]
