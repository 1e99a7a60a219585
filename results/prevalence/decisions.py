"""Scores of thresholds in a deployment: 0.5, the best on the development data, and the best on the deployment.

Of two classes, class 1 is decided where the probability of class 0 lies below the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.decision_metrics import (
    DECISION_METRICS,
    Counts,
    Floats,
    MetricSettings,
    decision_metrics,
    rarest_class,
)
from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import (
    CalibratedDeployment,
    CalibratedLogits,
    Logits,
    Row,
    calibrate_deployments,
    softmax,
)

_WORST_VALUE = {"accuracy": 0.0, "balanced_accuracy": 0.0, "f1_rarest": 0.0, "mcc": -1.0}
"""The value that a threshold has to exceed if more is better; for a cost, it is 1."""
_HALF_THRESHOLD = 50
"""The position of 0.5 among the thresholds."""


def decision_rows(splits: PredictedSplits, deployments: Sequence[Deployment], priors: PriorEstimator) -> Iterator[Row]:
    """Yield ratio, calibration, priors, rule, metric, threshold, value on the deployment; nothing for k > 2 classes.

    ``rule`` names the split on which the threshold is the best of 0, 0.01, …, 1 for that metric: ``dev_test``, or
    ``app_test`` (the best that was possible). With ``argmax``, the threshold is 0.5. Of equally good thresholds the
    first is taken; the threshold for an expected cost is also used for the normalised cost. The ``…_estimated`` metrics
    choose by estimated prevalences, and their values are computed at the true prevalences. A value is NaN if a logit
    is. Raises as `Priors.cost_prior`.
    """
    if splits.dev_cal.class_count != 2:
        return
    rarest = rarest_class(splits.dev_cal.class_counts)
    for each in calibrate_deployments(splits, deployments, priors.cost_prior):
        for variant in each.variants:
            address = {"ratio": each.deployment.ratio, "calibration": variant.method, "priors": variant.priors}
            for row in _rule_rows(splits, each, variant, rarest):
                yield {**address, **row}


def _rule_rows(
    splits: PredictedSplits, each: CalibratedDeployment, variant: CalibratedLogits, rarest: int
) -> Iterator[Row]:
    sample = each.deployment.predicted
    development_settings, deployment_settings = (
        MetricSettings(rarest, each.exact, each.estimated),
        MetricSettings(rarest, each.exact, each.exact),
    )
    threshold_values, values = threshold_grid(), metric_curves(sample.targets, variant.app_test, deployment_settings)
    rules: dict[str, Mapping[str, int | None]] = {
        "argmax": dict.fromkeys(DECISION_METRICS, _HALF_THRESHOLD),
        "dev_test": best_thresholds(metric_curves(splits.dev_test.targets, variant.dev_test, development_settings)),
        "app_test": best_thresholds(metric_curves(sample.targets, variant.app_test, development_settings)),
    }
    for rule, threshold_numbers in rules.items():
        for metric, place in threshold_numbers.items():
            found = (
                (np.nan, np.nan) if place is None else (round(float(threshold_values[place]), 2), values[metric][place])
            )
            yield {"rule": rule, "metric": metric, "threshold": found[0], "value": float(found[1])}


@cache
def threshold_grid() -> NDArray[np.float32]:
    """Return 0, 0.01, …, 1 in single precision, as torch counts."""
    import torch

    return np.asarray(torch.arange(0, 1.01, 0.01).numpy())


def metric_curves(targets: NDArray[np.int64], logits: Logits, setting: MetricSettings) -> Mapping[str, Floats]:
    """Return all `DECISION_METRICS` at each threshold of `threshold_grid`, for logits (n, 2); NaN if a logit is."""
    if np.isnan(logits).any():
        return {name: np.full(len(threshold_grid()), np.nan) for name in DECISION_METRICS}
    return decision_metrics(_confusion_matrices(targets, softmax(logits)[:, 0]), setting)


def _confusion_matrices(targets: NDArray[np.int64], probability_of_zero: Logits) -> Counts:
    """Return counts (t, 2, 2) of true class and decision at each threshold, from the probability (n,) of class 0."""
    # How many thresholds are not above the probability. At all higher thresholds, class 1 is decided.
    positions = np.searchsorted(threshold_grid().astype(probability_of_zero.dtype), probability_of_zero, side="right")
    size = len(threshold_grid()) + 1
    counts_of_ones = np.bincount(targets * size + positions, minlength=2 * size).reshape(2, size).cumsum(axis=1).T
    return np.stack([counts_of_ones[-1] - counts_of_ones[:-1], counts_of_ones[:-1]], axis=-1)


def best_thresholds(curves: Mapping[str, Floats]) -> dict[str, int | None]:
    """Return the threshold of `threshold_grid` at which each of `DECISION_METRICS` is best; None if one is NaN."""
    thresholds_by_metric = {
        name: _first_best_threshold(name, curves[name]) for name in DECISION_METRICS if not name.startswith("nec")
    }
    return thresholds_by_metric | {
        f"n{name}": place for name, place in thresholds_by_metric.items() if name.startswith("ec")
    }


def _first_best_threshold(name: str, values: Floats) -> int | None:
    if np.isnan(values).any():
        return None
    gains, start = (values, _WORST_VALUE[name]) if name in _WORST_VALUE else (-values, -1.0)
    best = int(gains.argmax())
    return best if gains[best] > start else 0
