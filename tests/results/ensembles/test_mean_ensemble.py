from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from seedfold.jobs.errors import UsageError
from seedfold.results.ensembles.mean_ensemble import ensemble, ensemble_metrics
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import classification_metrics

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.integers(1, 5),
    classes=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    shuffled=st.booleans(),
    number=st.uuids(),
)
def test_mean_probability_as_numpy_has_it(
    make_run: Make, members: int, classes: int, seed: int, shuffled: bool, number: Any
) -> None:
    draw = np.random.default_rng(seed)
    n = 12
    ids, truth = np.array([f"s{i}" for i in range(n)]), np.arange(n) % max(classes, 2)
    logits = (3 * draw.normal(size=(members, n, classes))).astype(np.float32)
    runs = []
    for member in range(members):
        rows = draw.permutation(n) if shuffled and member else np.arange(n)
        split = (list(ids[rows]), truth[rows], {"main": logits[member][rows]})
        runs.append(make_run({"number": str(number), "seed": member}, {"test": split}))
    frame = ensemble(runs, ["seed"])
    wide = logits.astype(float)
    p = np.concatenate([1 - expit(wide), expit(wide)], axis=2) if classes == 1 else softmax(wide, axis=2)
    columns = [f"probability_{i}" for i in range(max(classes, 2))]
    assert frame["sample_id"].tolist() == ids.tolist()
    assert frame[columns].to_numpy() == pytest.approx(p.mean(axis=0), abs=1e-12)
    assert set(frame["n_members"]) == {members}
    assert frame["target"].tolist() == truth.tolist()
    expected = classification_metrics(truth, np.log(p.mean(axis=0)))
    metrics = ensemble_metrics(runs, ["seed"]).set_index("metric")["value"]
    assert metrics.to_dict() == pytest.approx({k: np.nan if v is None else v for k, v in expected.items()}, nan_ok=True)


def test_over_folds_validation_is_pooled_and_test_is_averaged(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=[0, 1], folds=3, ratio=[1, 2])
    frame = ensemble(runs, ["seed", "fold"])
    assert list(frame.columns) == ["stage", "ratio", "split", "sample_id", "target", "head", "probability_0",
                                   "probability_1", "probability_2", "n_members", "n", "expected"]  # fmt: skip
    counts = frame.groupby(["ratio", "split"])[["sample_id", "n_members"]].agg(
        {"sample_id": "nunique", "n_members": "first"}
    )
    assert counts.loc[(1, "val")].tolist() == [30, 2]
    assert counts.loc[(2, "test")].tolist() == [10, 6]
    assert len(frame) == 2 * (30 + 10)


def test_a_member_never_scores_rows_it_trained_on(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=[0], folds=3)
    frame = ensemble(runs, ["fold"], splits=["val"])
    assert set(frame["n_members"]) == {1}
    assert len(frame) == 30
    with pytest.raises(UsageError, match="members trained on"):
        ensemble(runs, ["fold"], splits=["train"])


def test_a_training_split_is_left_out(make_run: Make) -> None:
    split = (["a"], np.array([0]), {"main": np.zeros((1, 2))})
    runs = [make_run({"seed": seed}, {"train": split, "test": split}) for seed in range(2)]
    assert set(ensemble(runs, "seed")["split"]) == {"test"}


def test_members_must_hold_the_same_samples(make_run: Make) -> None:
    runs = [
        make_run({"seed": seed}, {"val": (ids, np.zeros(len(ids), int), {"main": np.zeros((len(ids), 2))})})
        for seed, ids in enumerate((["a", "b", "c"], ["b", "c", "d", "e"]))
    ]
    named = f"jobs {runs[0].short_id} and {runs[1].short_id}"
    message = rf"{named}: .*different samples \(1 only in the first, 2 only in the second\)"
    with pytest.raises(UsageError, match=message):
        ensemble(runs, "seed")


def test_seeds_with_folds_of_their_own_need_the_fold_axis(make_run: Make) -> None:
    runs = []
    for seed in (0, 1):
        order = np.roll(np.arange(8), seed)
        for fold in (0, 1):
            ids = [f"s{i}" for i in order[fold::2]]
            runs.append(
                make_run({"seed": seed, "fold": fold}, {"val": (ids, np.zeros(4, int), {"main": np.zeros((4, 2))})})
            )
    with pytest.raises(UsageError, match="name the fold axis"):
        ensemble(runs, "seed")
    assert ensemble(runs, ["seed", "fold"])["n_members"].tolist() == [2] * 8


def test_targets_and_classes_must_agree(make_run: Make) -> None:
    def run(seed: int, truth: int, classes: int) -> FinishedJob:
        return make_run({"seed": seed}, {"val": (["a"], np.array([truth]), {"main": np.zeros((1, classes))})})

    first, other_truth, other_width = run(0, 0, 2), run(1, 1, 2), run(2, 0, 3)
    with pytest.raises(UsageError, match="targets of the same samples differ"):
        ensemble([first, other_truth], "seed")
    with pytest.raises(UsageError, match="2 and 3 logits"):
        ensemble([first, other_width], "seed")


def test_missing_folds_and_members(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=[0, 1, 2])
    without_fold = [run for run in runs if run.axes != {"seed": 1, "fold": 2}]
    with pytest.raises(UsageError, match="ensemble: seed=1: fold 2 missing"):
        ensemble(without_fold, ["seed", "fold"])
    without_seed = [run for run in runs if run.axes["seed"] != 1]
    assert set(ensemble(without_seed, ["seed", "fold"], splits=["val"])["n_members"]) == {2}
    with pytest.raises(UsageError, match="ensemble: train: seed 1 fold 0 missing"):
        ensemble(without_seed, ["seed", "fold"], planned=runs)
    assert set(ensemble(without_seed, ["seed"], planned=runs, partial=True)["n_members"]) == {2}


def test_pooled_folds_that_were_never_planned_are_named(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation()
    planned = [replace(run, config={"task": {"folds": {"k": 4}}}) for run in runs]
    never = "seed=0: fold 3 of 4 was never planned; seed=1: fold 3 of 4 was never planned"
    with pytest.raises(UsageError, match=f"ensemble: {never}"):
        ensemble(runs, ["seed", "fold"], planned=planned)
    assert set(ensemble(runs, ["seed", "fold"], planned=planned, splits=["test"])["n_members"]) == {6}
    assert set(ensemble(runs, ["seed"], planned=planned)["n_members"]) == {2}


def test_regression_averages_the_prediction(make_run: Make) -> None:
    truth = np.array([1.0, 2.0, 4.0])
    runs = [
        make_run({"seed": seed}, {"test": (["a", "b", "c"], truth, {"y": truth[:, None] + seed})}) for seed in (0, 2)
    ]
    frame = ensemble(runs, "seed")
    assert frame["prediction"].tolist() == [2.0, 3.0, 5.0]
    assert ensemble_metrics(runs, "seed").set_index("metric")["value"]["mae"] == 1.0


def test_the_same_members_give_the_same_bits(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=range(4))
    first, second = (ensemble(runs, ["seed", "fold"]).filter(like="probability") for _ in range(2))
    assert first.to_numpy().tobytes() == second.to_numpy().tobytes()


def test_jobs_and_those_that_there_should_be_are_counted(make_cross_validation: MakeMany) -> None:
    runs = make_cross_validation(seeds=[0, 1], folds=3)
    frame = ensemble_metrics(runs[1:], ["seed"], planned=runs, partial=True)
    assert frame.groupby("fold")["n"].first().to_dict() == {0: 1, 1: 2, 2: 2}
    assert set(frame["expected"]) == {2}
    rows = ensemble(runs, ["seed"], planned=runs)
    assert set(rows["n"]) == set(rows["expected"]) == {2}
