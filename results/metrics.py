"""Metrics of one head's predictions. Not a number in is an error; undefined is None, never a perfect score.

Classification metrics take log-probabilities (n, k) with k ≥ 2; a head with one logit is the logit of class 1
against class 0. Definitions are scikit-learn's except where a docstring says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.results.predictions import HeadPredictions

Scores = dict[str, float | None]
Array = npt.NDArray[Any]

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mae"})
CLASSIFICATION = (
    "accuracy",
    "balanced_accuracy",
    "auroc",
    "average_precision",
    "log_loss",
    "brier",
    "mcc",
    "f1_macro",
)
REGRESSION = ("rmse", "mae", "r2")


def log_probabilities(logits: Array) -> Array:
    """Return log-probabilities (n, max(k, 2)) of logits (n, k): log-softmax, or log-sigmoid of a single logit."""
    values = np.asarray(logits, dtype=np.float64)
    if values.shape[1] == 1:
        values = np.hstack([np.zeros_like(values), values])
    shifted = values - values.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def probabilities(logits: Array) -> Array:
    """Return probabilities (n, max(k, 2)) of logits (n, k)."""
    return np.asarray(np.exp(log_probabilities(logits)))


def _check(*arrays: Array) -> None:
    if any(np.isnan(values).any() for values in arrays):
        raise ValueError("metrics: not a number among the targets or predictions")


def classification(targets: Array, log_p: Array) -> Scores:
    """Return the classification metrics of targets (n,) and log-probabilities (n, k).

    ``auroc`` is the macro one-vs-rest mean for k > 2; ``average_precision`` exists for k = 2 only. ``log_loss`` is
    not clipped. ``brier`` is Brier's (1950) mean squared distance to the one-hot target, halved for k = 2 as usual.
    With a single class among the targets, and for ``auroc`` with any class of k missing, they are undefined: None.
    Raises ValueError if anything is not a number.
    """
    _check(log_p)
    truth, classes = np.asarray(targets, dtype=np.int64), log_p.shape[1]
    if not truth.size:
        return {}
    scores: Scores = {name: None for name in CLASSIFICATION if classes == 2 or name != "average_precision"}
    scores |= _always_defined(truth, log_p)
    present = np.unique(truth).size
    if present > 1:
        scores |= _comparing_classes(truth, log_p.argmax(axis=1))
    if present == classes:
        scores |= _ranking(truth, np.exp(log_p))
    return scores


def _always_defined(truth: Array, log_p: Array) -> Scores:
    rows = np.arange(truth.size)
    error = np.exp(log_p)
    error[rows, truth] -= 1.0
    squares = float(np.square(error).sum(axis=1).mean())
    return {
        "accuracy": float((log_p.argmax(axis=1) == truth).mean()),
        "log_loss": float(-log_p[rows, truth].mean()),
        "brier": squares / 2 if log_p.shape[1] == 2 else squares,
    }


def _comparing_classes(truth: Array, predicted: Array) -> Scores:
    from sklearn.metrics import f1_score, matthews_corrcoef, recall_score

    return {
        # The mean recall over the classes that occur, without a warning for one that is only predicted.
        "balanced_accuracy": float(recall_score(truth, predicted, labels=np.unique(truth), average="macro")),
        "mcc": float(matthews_corrcoef(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
    }


def _ranking(truth: Array, p: Array) -> Scores:
    from sklearn.metrics import average_precision_score, roc_auc_score

    if p.shape[1] == 2:
        return {
            "auroc": float(roc_auc_score(truth, p[:, 1])),
            "average_precision": float(average_precision_score(truth, p[:, 1])),
        }
    return {"auroc": float(np.mean([roc_auc_score(truth == number, p[:, number]) for number in range(p.shape[1])]))}


def regression(targets: Array, predicted: Array) -> Scores:
    """Return root mean squared error, mean absolute error and R² of arrays (n,).

    R² is None for fewer than two samples or constant targets. Raises ValueError if anything is not a number.
    """
    truth, values = np.asarray(targets, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    _check(truth, values)
    if not truth.size:
        return {}
    error = values - truth
    spread = float(np.square(truth - truth.mean()).sum())
    return {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1.0 - float(np.square(error).sum()) / spread if np.ptp(truth) > 0 else None,
    }


def score(head: HeadPredictions) -> Scores:
    """Return the metrics of one head over the samples whose target is known; empty if none is."""
    targets, logits = head.targets[head.known], head.logits[head.known]
    if head.is_regression:
        return regression(targets, logits[:, 0])
    return classification(targets, log_probabilities(logits))
