"""How well probabilities fit a deployment, before and after re-calibration: calibration error by class, Brier scores.

Sources: Kumar, Liang and Ma (2019) for the calibration error; Brier (1950) for the Brier score, and Gruber and
Buettner (2022) for its root.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.recalibrate import Logits, Row, calibrate_deployments, softmax

_BIN_EDGES = np.arange(0, 1.00001, 0.1)
_UNDEFINED_ERRORS = {"cwce": np.nan, "rbs": np.nan, "bs": np.nan, "nbs": np.nan}


def calibration_rows(
    splits: PredictedSplits, deployments: Sequence[Deployment], priors: PriorEstimator
) -> Iterator[Row]:
    """Yield ratio, method, priors, split, cwce, rbs, bs, nbs of ``dev_test`` and of each deployment, ``app_test``.

    ``cwce`` is the mean over classes of the calibration error in ten bins, ``bs`` the squared error, also
    averaged over classes, and ``rbs`` the root of its sum over classes. ``nbs`` is ``bs`` divided by the ``bs`` of a
    model that always predicts the shares of the evaluated classes. Raises as `Priors.estimated_prior`.
    """
    for each in calibrate_deployments(splits, deployments, priors.estimated_prior):
        for variant in each.variants:
            row = {"ratio": each.deployment.ratio, "method": variant.method, "priors": variant.priors}
            yield {**row, "split": "dev_test", **calibration_errors(splits.dev_test.targets, variant.dev_test)}
            yield {
                **row,
                "split": "app_test",
                **calibration_errors(each.deployment.predicted.targets, variant.app_test),
            }


def calibration_errors(targets: NDArray[np.int64], logits: Logits) -> dict[str, float]:
    """Return cwce, rbs, bs and nbs of logits (n, k).

    All are NaN if a logit is, and nbs is NaN if there is only one class.
    """
    probabilities = softmax(logits)
    if np.isnan(probabilities).any():
        return dict(_UNDEFINED_ERRORS)
    truth = np.eye(probabilities.shape[1])[targets]
    brier, shares = float(np.square(truth - probabilities).mean()), truth.mean(axis=0)
    constant = float(1 - np.square(shares).sum()) / len(shares)
    return {
        "cwce": _classwise_error(truth, probabilities),
        "rbs": float(np.sqrt(len(shares) * brier)),
        "bs": brier,
        "nbs": brier / constant if shares.max() < 1 else np.nan,
    }


def _classwise_error(truth: NDArray[np.float64], probabilities: Logits) -> float:
    """Return the distance of share and mean probability in each bin (l, u], weighted by samples; 0 lies in no bin."""
    n, classes = probabilities.shape
    bins = np.searchsorted(_BIN_EDGES.astype(probabilities.dtype), probabilities, side="left")
    cells = bins + np.arange(classes) * (len(_BIN_EDGES) + 1)
    gaps = np.bincount(cells.ravel(), (truth - probabilities).ravel(), minlength=classes * (len(_BIN_EDGES) + 1))
    return float(np.abs(gaps.reshape(classes, -1)[:, 1:-1]).sum() / (n * classes))
