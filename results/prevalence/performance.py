"""What a classifier is worth where it was developed and in deployments, under each calibration.

The decision is the class of the largest calibrated logit. Who judges by an estimate of the deployment's prevalences
does so on ``dev_test``; on ``app_test`` the ``…_estimated`` metrics are what comes of it, at the prevalences there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.costs import METRICS, Setting, confusion, metrics, rarest
from seedfold.results.prevalence.deployment import Deployment, Splits
from seedfold.results.prevalence.priors import Priors
from seedfold.results.prevalence.recalibrate import Calibrated, Known, Logits, Method, Row, calibrated, softmax
from seedfold.results.store.metrics import auroc

_SPLITS = ("dev_test", "app_test")
Scores = dict[str, float]


def performance(splits: Splits, deployments: Sequence[Deployment], priors: Priors) -> Iterator[Row]:
    """Yield ratio, calibration, priors, split, metric, value of ``dev_test`` and of each deployment, ``app_test``.

    The metrics are `costs.METRICS` and ``auroc``; a value is NaN where a logit is, or a class that it needs is missing.
    As published, ``ec_estimated`` of the affine calibration for exact priors is that of the one for estimated priors:
    who has to estimate the costs has to estimate for the calibration too. Raises as `Priors.costing`.
    """
    number = rarest(splits.dev_cal.counts)
    for each in calibrated(splits, deployments, priors.costing):
        for (method, known), scores in _scores(splits, each, number).items():
            place = {"ratio": each.deployment.ratio, "calibration": method, "priors": known}
            for split, metric in product(_SPLITS, scores["dev_test"]):
                yield {**place, "split": split, "metric": metric, "value": scores[split][metric]}


def _scores(splits: Splits, each: Calibrated, number: int) -> dict[tuple[Method, Known], dict[str, Scores]]:
    """By calibration, split and metric."""
    there = Setting(number, each.exact, each.exact)
    expected = Setting(number, each.exact, each.estimated)
    sample = each.deployment.sample
    found = {
        (variant.method, variant.known): {
            "dev_test": score(splits.dev_test.targets, variant.dev_test, expected),
            "app_test": score(sample.targets, variant.app_test, there),
        }
        for variant in each.variants
    }
    for split in _SPLITS:
        found["affine", "exact"][split]["ec_estimated"] = found["affine", "estimated"][split]["ec_estimated"]
    return found


def score(targets: NDArray[np.int64], logits: Logits, setting: Setting) -> Scores:
    """Return `costs.METRICS` and auroc of logits (n, k), all NaN if one is."""
    if np.isnan(logits).any():
        return dict.fromkeys((*METRICS, "auroc"), float("nan"))
    classes = logits.shape[1]
    counts = confusion(targets, logits.argmax(axis=1), classes)
    return {name: float(value) for name, value in metrics(counts, setting).items()} | {
        "auroc": _area(targets, softmax(logits))
    }


def _area(targets: NDArray[np.int64], probabilities: Logits) -> float:
    """Of the last class of two, or the mean over classes of each against the others; NaN with one missing."""
    classes = probabilities.shape[1]
    if len(np.unique(targets)) < classes:
        return float("nan")
    ranked = (1,) if classes == 2 else range(classes)
    return float(np.mean([auroc(targets == number, probabilities[:, number]) for number in ranked]))
