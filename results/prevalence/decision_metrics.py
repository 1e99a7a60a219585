"""Metrics of decisions, from how often each class was chosen for samples of each class; for many matrices at once.

Confusions are counts (…, k, k) of true class (row) and chosen class (column); every metric has their leading shape.
Expected costs are those of Ferrer (2022, arXiv:2209.05355) where every error costs 1; the other definitions and their
order of operations are scikit-learn's, because thresholds are chosen between values that differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.priors import Prior

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

DECISION_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1_rarest",
    "mcc",
    "ec",
    "ec_exact",
    "ec_estimated",
    "nec",
    "nec_exact",
    "nec_estimated",
)


@dataclass(frozen=True)
class MetricSettings:
    """What metrics need to know: the class of F1, and the expected prevalences (k,), exact and estimated."""

    rarest_class: int
    exact_prior: Prior
    estimated_prior: Prior


def rarest_class(counts: Counts) -> int:
    """Return the class with the fewest samples, the first of several; 1 if all classes have equally many."""
    return 1 if counts.min() == counts.max() else int(counts.argmin())


def confusion_matrix(targets: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Counts:
    """Return the counts (k, k) of true class (row) and chosen class (column)."""
    return np.bincount(targets * classes + labels, minlength=classes**2).reshape(classes, classes)


def decision_metrics(counts: Counts, setting: MetricSettings) -> Mapping[str, Floats]:
    """Return the `DECISION_METRICS` of confusions (…, k, k); NaN if a class is missing that a metric needs.

    Balanced accuracy is the mean over the classes that occur. F1 and MCC are 0 if no choice is right, or if only one
    class is chosen.
    """
    present = counts.sum(axis=-1) / counts.sum(axis=(-1, -2))[..., None]
    priors = {"": present, "_exact": setting.exact_prior, "_estimated": setting.estimated_prior}
    costs = {name: expected_cost(counts, prior) for name, prior in priors.items()}
    return {
        "accuracy": _correct_counts(counts).sum(axis=-1) / counts.sum(axis=(-1, -2)),
        "balanced_accuracy": np.nanmean(_ratio(_correct_counts(counts), counts.sum(axis=-1)), axis=-1),
        "f1_rarest": _f1_score(counts, setting.rarest_class),
        "mcc": _mcc_score(counts),
        **{f"ec{name}": cost for name, cost in costs.items()},
        **{f"nec{name}": _ratio(cost, _constant_choice_cost(priors[name], cost)) for name, cost in costs.items()},
    }


def expected_cost(counts: Counts, prior: Prior) -> Floats:
    """Return the share of errors (…) that there would be if the classes were as frequent as ``prior`` (…, k)."""
    wrong = _ratio(counts.sum(axis=-1) - _correct_counts(counts), counts.sum(axis=-1))
    return np.asarray(np.where(prior > 0, prior * wrong, 0.0).sum(axis=-1))


def _constant_choice_cost(prior: Prior, like: Floats) -> Floats:
    """Return the cost of always choosing the most frequent class."""
    shares = prior.astype(np.float64)
    return np.broadcast_to(shares.sum(axis=-1) - shares.max(axis=-1), like.shape)


def _correct_counts(counts: Counts) -> Counts:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(part: Counts | Floats, total: Counts | Floats) -> Floats:
    """Return the quotient; NaN if the denominator is 0."""
    return np.divide(part, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def _f1_score(counts: Counts, number: int) -> Floats:
    right = counts[..., number, number]
    precision = np.nan_to_num(_ratio(right, counts[..., :, number].sum(axis=-1)))
    recall = np.nan_to_num(_ratio(right, counts[..., number, :].sum(axis=-1)))
    both = precision + recall
    return np.asarray(2 * precision * recall / np.where(both > 0, both, 1.0))


def _mcc_score(counts: Counts) -> Floats:
    """Return Gorodkin's (2004) correlation coefficient for k classes."""
    actual, chosen = counts.sum(axis=-1, dtype=np.float64), counts.sum(axis=-2, dtype=np.float64)
    n, right = actual.sum(axis=-1), _correct_counts(counts).sum(axis=-1)
    spread = (n**2 - (chosen * chosen).sum(axis=-1)) * (n**2 - (actual * actual).sum(axis=-1))
    covariance = right * n - (actual * chosen).sum(axis=-1)
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0))
