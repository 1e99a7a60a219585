from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from seedfold.results.evaluation.curves import curves
from seedfold.results.evaluation.out_of_fold import oof
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import probabilities

Make = Callable[..., FinishedJob]
MakeMany = Callable[..., list[FinishedJob]]


def binary(make_run: Make) -> list[FinishedJob]:
    draw = np.random.default_rng(0)
    return [
        make_run(
            {"fold": fold},
            {"val": ([f"{fold}-{i}" for i in range(40)], np.arange(40) % 2, {"main": draw.normal(size=(40, 1))})},
        )
        for fold in range(2)
    ]


def trapezoid(points: pd.DataFrame) -> float:
    return float(sk.auc(points["x"], points["y"]))


def test_binary_curves_have_the_pooled_areas(make_run: Make) -> None:
    runs = binary(make_run)
    pooled = oof(runs)
    p = probabilities(pooled[["logit_0"]].to_numpy())[:, 1]
    frame = curves(runs)
    assert set(frame["class"]) == {"1"}
    roc, pr = (frame[frame["curve"] == name] for name in ("roc", "pr"))
    assert trapezoid(roc) == pytest.approx(sk.roc_auc_score(pooled["target"], p))
    assert roc["area"].unique() == pytest.approx(sk.roc_auc_score(pooled["target"], p))
    assert pr["area"].unique() == pytest.approx(sk.average_precision_score(pooled["target"], p))
    assert roc["x"].is_monotonic_increasing
    assert pr["x"].is_monotonic_increasing
    assert pr["y"].iloc[-1] == pytest.approx(0.5)


def test_many_classes_have_a_mean_curve_near_the_mean_area(make_cross_validation: MakeMany) -> None:
    frame = curves(make_cross_validation(seeds=[0], n=300))
    assert set(frame["class"]) == {"0", "1", "2", "macro"}
    roc = frame[frame["curve"] == "roc"]
    by_class = roc.groupby("class")["area"].first()
    assert by_class["macro"] == pytest.approx(by_class[["0", "1", "2"]].mean())
    assert trapezoid(roc[roc["class"] == "macro"]) == pytest.approx(by_class["macro"], abs=0.01)


def test_what_has_no_curve_has_none(make_run: Make) -> None:
    one_class = make_run({"fold": 0}, {"val": (["a", "b"], np.array([1, 1]), {"main": np.zeros((2, 1))})})
    number = make_run({"fold": 0, "x": 1}, {"val": (["a", "b"], np.array([1.0, 2.0]), {"main": np.zeros((2, 1))})})
    unknown = make_run({"fold": 0, "x": 2}, {"val": (["a", "b"], None, {"main": np.zeros((2, 1))})})
    for run in (one_class, number, unknown):
        assert len(curves([run])) == 0
