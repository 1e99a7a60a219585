"""Metrics of a classifier on its development data and in deployments, under each calibration.

The decision is the class of the largest calibrated logit. On ``dev_test`` the ``…_estimated`` metrics use an estimate
of the deployment's prevalences; on ``app_test`` they are computed at the true prevalences of the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.decision_metrics import (
    DECISION_METRICS,
    MetricSettings,
    confusion_matrix,
    decision_metrics,
    rarest_class,
)
from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import (
    CalibratedDeployment,
    KnownPriors,
    Logits,
    Method,
    Row,
    calibrate_deployments,
    softmax,
)
from seedfold.results.store.metrics import auroc

_SCORED_SPLITS = ("dev_test", "app_test")
Scores = dict[str, float]


def performance_rows(
    splits: PredictedSplits, deployments: Sequence[Deployment], priors: PriorEstimator
) -> Iterator[Row]:
    """Yield ratio, calibration, priors, split, metric, value of ``dev_test`` and of each deployment, ``app_test``.

    The metrics are `DECISION_METRICS` and ``auroc``; a value is NaN if a logit is, or if a needed class is missing.
    As in the published study, ``ec_estimated`` of the affine calibration for exact priors is that of the calibration
    for estimated priors: if the costs have to be estimated, so has the calibration. Raises as `Priors.cost_prior`.
    """
    rarest = rarest_class(splits.dev_cal.class_counts)
    for each in calibrate_deployments(splits, deployments, priors.cost_prior):
        for (method, known), scores in _score_variants(splits, each, rarest).items():
            row = {"ratio": each.deployment.ratio, "calibration": method, "priors": known}
            for split, metric in product(_SCORED_SPLITS, scores["dev_test"]):
                yield {**row, "split": split, "metric": metric, "value": scores[split][metric]}


def _score_variants(
    splits: PredictedSplits, each: CalibratedDeployment, rarest: int
) -> dict[tuple[Method, KnownPriors], dict[str, Scores]]:
    """Return values by calibration, split and metric."""
    deployment_settings = MetricSettings(rarest, each.exact, each.exact)
    development_settings = MetricSettings(rarest, each.exact, each.estimated)
    sample = each.deployment.predicted
    found = {
        (variant.method, variant.priors): {
            "dev_test": score_logits(splits.dev_test.targets, variant.dev_test, development_settings),
            "app_test": score_logits(sample.targets, variant.app_test, deployment_settings),
        }
        for variant in each.variants
    }
    for split in _SCORED_SPLITS:
        found["affine", "exact"][split]["ec_estimated"] = found["affine", "estimated"][split]["ec_estimated"]
    return found


def score_logits(targets: NDArray[np.int64], logits: Logits, setting: MetricSettings) -> Scores:
    """Return `DECISION_METRICS` and auroc of logits (n, k); all are NaN if a logit is."""
    if np.isnan(logits).any():
        return dict.fromkeys((*DECISION_METRICS, "auroc"), float("nan"))
    classes = logits.shape[1]
    counts = confusion_matrix(targets, logits.argmax(axis=1), classes)
    return {name: float(value) for name, value in decision_metrics(counts, setting).items()} | {
        "auroc": _mean_auroc(targets, softmax(logits))
    }


def _mean_auroc(targets: NDArray[np.int64], probabilities: Logits) -> float:
    """Return the area for class 1 of two, or the mean over classes against the rest; NaN if a class is missing."""
    classes = probabilities.shape[1]
    if len(np.unique(targets)) < classes:
        return float("nan")
    ranked = (1,) if classes == 2 else range(classes)
    return float(np.mean([auroc(targets == number, probabilities[:, number]) for number in ranked]))
