"""The class prevalences that a deployment is calibrated and costed for: those it has, and those one would estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.deployment import Deployment
from seedfold.results.prevalence.estimate import ZeroPolicy, find_absent

Prior = NDArray[np.floating[Any]]
"""Prevalences (k,), in the precision to compute with."""


def exact_prior(deployment: Deployment) -> Prior:
    """Return the prevalences that a deployment has, in single precision as the published study."""
    return deployment.exact_prevalences.astype(np.float32)


@dataclass(frozen=True)
class PriorEstimator:
    """What is done with a class that is estimated to be absent, for which calibration is not possible.

    ``error`` refuses it. ``epsilon`` puts a small number in place of the zero and leaves the others as they are. Both
    take what is zero but for noise of the solver for zero, see `find_absent`. ``as_published`` keeps the estimate as it
    is in the table of calibrations, whose affine ones become NaN where it is 0, and does as ``epsilon`` in the others,
    where it is exactly 0.
    """

    zeros: ZeroPolicy = "epsilon"
    epsilon: float = 1e-8

    def estimated_prior(self, deployment: Deployment) -> Prior:
        """Return the estimate, in double precision, for the table of calibrations.

        Raises DataFailure where predictions are not finite, or a class is estimated to be absent and that is an error.
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
    """Otherwise prevalences would silently be estimated from classes that were chosen from NaN."""
    return bool(np.isfinite(deployment.splits.dev_test.logits).all() and np.isfinite(deployment.predicted.logits).all())
