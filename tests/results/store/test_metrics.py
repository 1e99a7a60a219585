from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from seedfold.results.store.metrics import (
    auroc,
    average_precision,
    classification_metrics,
    head_metrics,
    log_probabilities,
    probabilities,
    regression_metrics,
)
from seedfold.results.store.predictions import HeadPredictions


def sample(classes: int, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return truth, rng.normal(size=(n, classes)) + 2 * np.eye(classes)[truth]


def test_binary_metrics_agree_with_scikit_learn() -> None:
    truth, logits = sample(2)
    p = probabilities(logits)
    guess = p.argmax(axis=1)
    assert classification_metrics(truth, np.log(p)) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(truth, guess),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, guess),
            "auroc": sk.roc_auc_score(truth, p[:, 1]),
            "average_precision": sk.average_precision_score(truth, p[:, 1]),
            "log_loss": sk.log_loss(truth, p),
            "brier": sk.brier_score_loss(truth, p[:, 1]),
            "mcc": sk.matthews_corrcoef(truth, guess),
            "f1_macro": sk.f1_score(truth, guess, average="macro"),
        }
    )


@pytest.mark.parametrize("classes", [3, 10])
def test_metrics_of_many_classes_agree_with_scikit_learn(classes: int) -> None:
    truth, logits = sample(classes)
    p = probabilities(logits)
    guess = p.argmax(axis=1)
    assert classification_metrics(truth, np.log(p)) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(truth, guess),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, guess),
            "auroc": sk.roc_auc_score(truth, p, multi_class="ovr", average="macro"),
            "log_loss": sk.log_loss(truth, p),
            "brier": np.square(p - np.eye(classes)[truth]).sum(axis=1).mean(),
            "mcc": sk.matthews_corrcoef(truth, guess),
            "f1_macro": sk.f1_score(truth, guess, average="macro"),
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_rankings_with_ties_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 4
    assume(0 < positive.mean() < 1)
    assert auroc(positive, scores) == pytest.approx(sk.roc_auc_score(positive, scores))
    assert average_precision(positive, scores) == pytest.approx(sk.average_precision_score(positive, scores))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_any_confusion_agrees_with_scikit_learn(classes: int, rows: list[tuple[int, int]]) -> None:
    truth, guess = (np.array([row[i] % classes for row in rows]) for i in (0, 1))
    assume(len(set(truth)) > 1)
    scores = classification_metrics(truth, log_probabilities(np.eye(classes)[guess]))
    recall = sk.recall_score(truth, guess, labels=np.unique(truth), average="macro", zero_division=0)
    assert scores["balanced_accuracy"] == pytest.approx(recall)
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(truth, guess))
    assert scores["f1_macro"] == pytest.approx(sk.f1_score(truth, guess, average="macro", zero_division=0))


def test_one_logit_is_the_sigmoid_of_class_one() -> None:
    truth, logits = sample(2)
    single = (logits[:, 1] - logits[:, 0])[:, None]
    assert classification_metrics(truth, log_probabilities(single)) == pytest.approx(
        classification_metrics(truth, log_probabilities(logits))
    )
    assert probabilities(np.array([[0.0]])).tolist() == [[0.5, 0.5]]


def test_extreme_logits_stay_finite_and_are_not_clipped() -> None:
    scores = classification_metrics(np.array([0, 1]), log_probabilities(np.array([[5000.0], [0.0]])))
    assert scores["log_loss"] == pytest.approx((5000.0 + np.log(2)) / 2)


def test_one_class_only_is_undefined_never_perfect() -> None:
    scores = classification_metrics(np.array([1, 1]), log_probabilities(np.array([[9.0], [8.0]])))
    assert scores["accuracy"] == 1.0
    undefined = ("balanced_accuracy", "auroc", "average_precision", "mcc", "f1_macro")
    assert [scores[name] for name in undefined] == [None] * 5


def test_auroc_with_a_class_missing_is_undefined() -> None:
    scores = classification_metrics(np.array([0, 1, 1]), log_probabilities(np.eye(3)))
    assert scores["auroc"] is None
    assert scores["balanced_accuracy"] is not None


def test_a_constant_guess_is_not_an_error() -> None:
    scores = classification_metrics(np.array([0, 1, 2]), log_probabilities(np.tile([1.0, 0.0, 0.0], (3, 1))))
    assert scores["accuracy"] == scores["balanced_accuracy"] == pytest.approx(1 / 3)
    assert scores["mcc"] == 0.0
    assert scores["auroc"] == 0.5


def test_regression_in_closed_form() -> None:
    assert regression_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])) == pytest.approx(
        {"rmse": np.sqrt(3.0), "mae": 1.0, "r2": 1 - 9 / 2}
    )
    truth, guess = np.random.default_rng(0).normal(size=(2, 50))
    scores = regression_metrics(truth, guess)
    assert scores["r2"] == pytest.approx(sk.r2_score(truth, guess))
    assert regression_metrics(np.array([2.0, 2.0]), np.array([2.0, 2.0]))["r2"] is None
    assert regression_metrics(np.array([2.0]), np.array([2.0]))["r2"] is None


def test_not_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a number"):
        classification_metrics(np.array([0, 1]), log_probabilities(np.array([[np.nan], [1.0]])))
    with pytest.raises(ValueError, match="not a number"):
        regression_metrics(np.array([np.nan]), np.array([0.0]))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(6, 40), st.integers(0, 10**6))
def test_scores_lie_in_their_ranges_and_ignore_row_order(classes: int, n: int, seed: int) -> None:
    truth, logits = sample(classes, max(n, classes), seed)
    scores = classification_metrics(truth, log_probabilities(logits))
    order = np.random.default_rng(seed).permutation(len(truth))
    again = classification_metrics(truth[order], log_probabilities(logits[order]))
    for name, value in scores.items():
        assert value == pytest.approx(again[name])
        assert value is not None
        assert value >= (-1 if name == "mcc" else 0)
        assert value <= {"brier": 2.0, "log_loss": np.inf}.get(name, 1.0) + 1e-9


def test_samples_without_a_target_do_not_count() -> None:
    head = HeadPredictions(
        "main",
        pa.array(["a", "b", "c"]),
        np.array([0, 1, 0]),
        np.array([True, True, False]),
        np.array([[1.0], [1.0], [-1.0]]),
    )
    assert head_metrics(head)["accuracy"] == 0.5
    unlabelled = HeadPredictions("main", head.ids, head.targets, np.zeros(3, bool), head.logits)
    assert head_metrics(unlabelled) == {}
