"""The class prevalences for calibration and costs in a deployment: the true ones, and the estimated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.deployment import Deployment
from seedfold.results.prevalence.estimate import ZeroPolicy, find_absent

Prior = NDArray[np.floating[Any]]
"""Prevalences (k,), in the precision in which they are used."""


def exact_prior(deployment: Deployment) -> Prior:
    """Return the true prevalences of a deployment, in single precision as in the published study."""
    return deployment.exact_prevalences.astype(np.float32)


@dataclass(frozen=True)
class PriorEstimator:
    """Estimates prevalences, and treats classes that are estimated to be absent: calibration is not possible for them.

    ``error`` refuses such an estimate. ``epsilon`` puts a small number in place of the zero and does not change the
    other classes. Both take an estimate for zero if only noise of the solver is left, see `find_absent`.
    ``as_published`` keeps the estimate in the table of calibrations, where affine calibrations become NaN if it is 0;
    in the other tables it acts as ``epsilon`` if the estimate is exactly 0.
    """

    zeros: ZeroPolicy = "epsilon"
    epsilon: float = 1e-8

    def estimated_prior(self, deployment: Deployment) -> Prior:
        """Return the estimate, in double precision, for the table of calibrations.

        Raises DataFailure if predictions are not finite, or if a class is estimated to be absent and that is an error.
        """
        estimate = (
            deployment.estimated_prevalences
            if _has_finite_logits(deployment)
            else np.full(deployment.predicted.class_count, np.nan)
        )
        if not np.isfinite(estimate).all():
            raise DataFailure(
                f"ratio {deployment.ratio:g}: no prevalences can be estimated from infinite logits or NaN"
            )
        absent = find_absent(estimate, self.zeros)
        if absent.any() and self.zeros == "error":
            place = f"ratio {deployment.ratio:g}: class {int(absent.argmax())}"
            raise DataFailure(f"{place} is estimated to be absent; see --zeros and estimate.zeros")
        return estimate if self.zeros == "as_published" else np.where(absent, self.epsilon, estimate)

    def cost_prior(self, deployment: Deployment) -> Prior:
        """Return the estimate, in single precision and never zero, for metrics and thresholds. Raises likewise."""
        estimate = self.estimated_prior(deployment)
        return np.where(estimate <= 0, self.epsilon, estimate).astype(np.float32)


def _has_finite_logits(deployment: Deployment) -> bool:
    """Return whether all logits are finite: prevalences must not be estimated from choices between NaN."""
    return bool(np.isfinite(deployment.splits.dev_test.logits).all() and np.isfinite(deployment.predicted.logits).all())
