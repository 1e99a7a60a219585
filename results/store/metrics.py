"""Metrics of one head's predictions. Not a number in is an error; undefined is None, never a perfect score.

Classification metrics take log-probabilities (n, k) with k ≥ 2; a head with one logit is the logit of class 1
against class 0. Values are scikit-learn's except where a docstring says otherwise, and the tests hold them to it; they
are computed here because every job ends with them, and its calls take 70 ms for 300 rows of 10 classes, these 2 ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.results.store.predictions import HeadPredictions

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
    shifted = _shift_to_zero(logits)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def probabilities(logits: Array) -> Array:
    """Return probabilities (n, max(k, 2)) of logits (n, k)."""
    exponentials = np.exp(_shift_to_zero(logits))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _shift_to_zero(logits: Array) -> Array:
    """Return logits of at least two classes, the largest of each row being 0."""
    values = np.asarray(logits, dtype=np.float64)
    if values.shape[1] == 1:
        values = np.hstack([np.zeros_like(values), values])
    return np.asarray(values - values.max(axis=1, keepdims=True))


def _refuse_nan(*arrays: Array) -> None:
    if any(np.isnan(values).any() for values in arrays):
        raise ValueError("metrics: not a number among the targets or predictions")


def classification_metrics(targets: Array, log_p: Array) -> Scores:
    """Return the classification metrics of targets (n,) and log-probabilities (n, k).

    ``auroc`` is the macro one-vs-rest mean for k > 2; ``average_precision`` exists for k = 2 only. ``log_loss`` is
    not clipped. ``brier`` is Brier's (1950) mean squared distance to the one-hot target, halved for k = 2 as usual.
    With a single class among the targets, and for ``auroc`` with any class of k missing, they are undefined: None.
    Raises ValueError if anything is not a number.
    """
    _refuse_nan(log_p)
    truth, classes = np.asarray(targets, dtype=np.int64), log_p.shape[1]
    if not truth.size:
        return {}
    scores: Scores = {name: None for name in CLASSIFICATION if classes == 2 or name != "average_precision"}
    scores |= _class_free_metrics(truth, log_p)
    present = np.unique(truth).size
    if present > 1:
        scores |= _confusion_metrics(truth, log_p.argmax(axis=1), classes)
    if present == classes:
        scores |= _ranking_metrics(truth, np.exp(log_p))
    return scores


def _class_free_metrics(truth: Array, log_p: Array) -> Scores:
    rows = np.arange(truth.size)
    error = np.exp(log_p)
    error[rows, truth] -= 1.0
    squares = float(np.square(error).sum(axis=1).mean())
    return {
        "accuracy": float((log_p.argmax(axis=1) == truth).mean()),
        "log_loss": float(-log_p[rows, truth].mean()),
        "brier": squares / 2 if log_p.shape[1] == 2 else squares,
    }


def confusion_counts(truth: Array, predicted: Array, classes: int) -> Array:
    """Return the counts (k, k) of true class (row) and predicted class (column)."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _confusion_metrics(truth: Array, predicted: Array, classes: int) -> Scores:
    """Compare classes by their confusion matrix; MCC for k classes is Gorodkin's (2004) R_K, 0 for a constant guess."""
    confusion = confusion_counts(truth, predicted, classes)
    right, actual_counts, predicted_counts = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    counted = actual_counts + predicted_counts > 0
    n = float(truth.size)
    covariance = n * right.sum() - float(actual_counts @ predicted_counts)
    variance = (n**2 - float(actual_counts @ actual_counts)) * (n**2 - float(predicted_counts @ predicted_counts))
    return {
        "balanced_accuracy": float((right[actual_counts > 0] / actual_counts[actual_counts > 0]).mean()),
        "mcc": covariance / variance**0.5 if variance else 0.0,
        "f1_macro": float((2 * right[counted] / (actual_counts + predicted_counts)[counted]).mean()),
    }


def _ranking_metrics(truth: Array, p: Array) -> Scores:
    if p.shape[1] == 2:
        positive = truth == 1
        return {"auroc": auroc(positive, p[:, 1]), "average_precision": average_precision(positive, p[:, 1])}
    return {"auroc": float(np.mean([auroc(truth == number, p[:, number]) for number in range(p.shape[1])]))}


def auroc(positive: Array, p: Array) -> float:
    """Return the area under the ROC curve of scores (n,): Mann and Whitney's U over its maximum, ties counting half.

    Both kinds of samples must occur.
    """
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(positive.sum())
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * (positive.size - positives)))


def average_precision(positive: Array, p: Array) -> float:
    """Return the precision at each threshold weighted by the gain in recall; positive samples must occur."""
    values, inverse = np.unique(-p, return_inverse=True)
    hits = np.bincount(inverse, weights=positive, minlength=values.size)
    found, seen = np.cumsum(hits), np.cumsum(np.bincount(inverse, minlength=values.size))
    return float((found / seen * hits).sum() / hits.sum())


def regression_metrics(targets: Array, predicted: Array) -> Scores:
    """Return root mean squared error, mean absolute error and R² of arrays (n,).

    R² is None for fewer than two samples or constant targets. Raises ValueError if anything is not a number.
    """
    truth, values = np.asarray(targets, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    _refuse_nan(truth, values)
    if not truth.size:
        return {}
    error = values - truth
    spread = float(np.square(truth - truth.mean()).sum())
    return {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1.0 - float(np.square(error).sum()) / spread if np.ptp(truth) > 0 else None,
    }


def head_metrics(head: HeadPredictions) -> Scores:
    """Return the metrics of one head over the samples whose target is known; empty if none is."""
    targets, logits = head.targets[head.known], head.logits[head.known]
    if head.is_regression:
        return regression_metrics(targets, logits[:, 0])
    return classification_metrics(targets, log_probabilities(logits))
