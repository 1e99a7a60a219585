"""What a threshold is worth in a deployment: 0.5, the best where the classifier was developed, or the best there is.

Of two classes, class 1 is decided where the probability of class 0 lies below the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.costs import METRICS, Counts, Floats, Setting, metrics, rarest
from seedfold.results.prevalence.deployment import Deployment, Splits
from seedfold.results.prevalence.priors import Priors
from seedfold.results.prevalence.recalibrate import Calibrated, Logits, Row, Variant, calibrated, softmax

_START = {"accuracy": 0.0, "balanced_accuracy": 0.0, "f1_rarest": 0.0, "mcc": -1.0}
"""What a threshold has to beat where more is better; of a cost, 1."""
_HALF = 50
"""The place of 0.5 among the thresholds."""


def decisions(splits: Splits, deployments: Sequence[Deployment], priors: Priors) -> Iterator[Row]:
    """Yield ratio, calibration, priors, rule, metric, threshold, value on the deployment; nothing for k > 2 classes.

    ``rule`` tells where the threshold is the best of 0, 0.01, …, 1 for that metric: ``dev_test``, ``app_test`` (what
    was possible), or nowhere: ``argmax``. The first of equally good ones is taken; one of an expected cost serves the
    normalised cost too. The ``…_estimated`` metrics choose by estimated prevalences; values are at those that are
    there. NaN where a logit is. Raises as `Priors.costing`.
    """
    if splits.dev_cal.classes != 2:
        return
    number = rarest(splits.dev_cal.counts)
    for each in calibrated(splits, deployments, priors.costing):
        for variant in each.variants:
            place = {"ratio": each.deployment.ratio, "calibration": variant.method, "priors": variant.known}
            for row in _rows(splits, each, variant, number):
                yield {**place, **row}


def _rows(splits: Splits, each: Calibrated, variant: Variant, number: int) -> Iterator[Row]:
    sample = each.deployment.sample
    expected, there = Setting(number, each.exact, each.estimated), Setting(number, each.exact, each.exact)
    limits, values = thresholds(), curves(sample.targets, variant.app_test, there)
    rules: dict[str, Mapping[str, int | None]] = {
        "argmax": dict.fromkeys(METRICS, _HALF),
        "dev_test": best_places(curves(splits.dev_test.targets, variant.dev_test, expected)),
        "app_test": best_places(curves(sample.targets, variant.app_test, expected)),
    }
    for rule, places in rules.items():
        for metric, place in places.items():
            found = (np.nan, np.nan) if place is None else (round(float(limits[place]), 2), values[metric][place])
            yield {"rule": rule, "metric": metric, "threshold": found[0], "value": float(found[1])}


@cache
def thresholds() -> NDArray[np.float32]:
    """Return 0, 0.01, …, 1 in single precision, as torch counts."""
    import torch

    return np.asarray(torch.arange(0, 1.01, 0.01).numpy())


def curves(targets: NDArray[np.int64], logits: Logits, setting: Setting) -> Mapping[str, Floats]:
    """Return each of `METRICS` at every one of the `thresholds`, for logits (n, 2); NaN if one is."""
    if np.isnan(logits).any():
        return {name: np.full(len(thresholds()), np.nan) for name in METRICS}
    return metrics(_confusions(targets, softmax(logits)[:, 0]), setting)


def _confusions(targets: NDArray[np.int64], zero: Logits) -> Counts:
    """The counts (t, 2, 2) of true class and decision at each threshold, from the probability (n,) of class 0."""
    # How many thresholds are at most the probability: from the next on, class 1 is decided.
    places = np.searchsorted(thresholds().astype(zero.dtype), zero, side="right")
    size = len(thresholds()) + 1
    ones = np.bincount(targets * size + places, minlength=2 * size).reshape(2, size).cumsum(axis=1).T
    return np.stack([ones[-1] - ones[:-1], ones[:-1]], axis=-1)


def best_places(found: Mapping[str, Floats]) -> dict[str, int | None]:
    """Return where each of `METRICS` is best among the `thresholds`, from its values there; None where one is NaN."""
    places = {name: _first_best(name, found[name]) for name in METRICS if not name.startswith("nec")}
    return places | {f"n{name}": place for name, place in places.items() if name.startswith("ec")}


def _first_best(name: str, values: Floats) -> int | None:
    if np.isnan(values).any():
        return None
    gains, start = (values, _START[name]) if name in _START else (-values, -1.0)
    best = int(gains.argmax())
    return best if gains[best] > start else 0
