"""A model's predictions where it was developed, and in simulated deployments with other class ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.mean_predictions import PredictedSamples, read_mean_predictions
from seedfold.results.prevalence.quantify import QuantificationProblem, estimate_prevalences
from seedfold.results.prevalence.resampling import BASE_SEED, resample_rows
from seedfold.results.prevalence.settings import REQUIRED_SPLITS


@dataclass(frozen=True)
class PredictedSplits:
    """Predictions of one model: ``dev_cal`` to calibrate on, the balanced ``dev_test``, and the whole ``app_test``."""

    dev_cal: PredictedSamples
    dev_test: PredictedSamples
    app_test: PredictedSamples

    @classmethod
    def read(cls, folders: Sequence[Path], names: Sequence[str] = REQUIRED_SPLITS) -> PredictedSplits:
        """Read the splits, called ``names``, from published folders, as `read_mean_predictions` does."""
        return cls(*(read_mean_predictions(folders, split) for split in names))

    def deploy(self, ratio: float, base_seed: int = BASE_SEED) -> Deployment:
        """Return the deployment at a ratio. Raises as `resample_rows`: ImpossibleScalingError, UsageError."""
        return Deployment(
            ratio, self, resample_rows(self.app_test.targets, self.app_test.class_count, ratio, base_seed)
        )


@dataclass(frozen=True)
class Deployment:
    """A deployment with the class ratio ``ratio``: the samples of ``app_test`` at positions ``rows`` (m,).

    ``known_estimate`` has the prevalences (k,) that were estimated before; None: they are estimated when needed.
    """

    ratio: float
    splits: PredictedSplits
    rows: NDArray[np.int64]
    known_estimate: tuple[float, ...] | None = None

    @cached_property
    def predicted(self) -> PredictedSamples:
        """Return the predictions (m, k) in this deployment."""
        return self.splits.app_test.take(self.rows)

    @cached_property
    def exact_prevalences(self) -> NDArray[np.float64]:
        """Return the true prevalences (k,) of the deployment."""
        return self.predicted.class_counts / len(self.rows)

    @cached_property
    def estimated_prevalences(self) -> NDArray[np.float64]:
        """Return the prevalences (k,) as ACC estimates them; one may be exactly 0."""
        if self.known_estimate is not None:
            return np.asarray(self.known_estimate, dtype=np.float64)
        problem = QuantificationProblem(self.splits.dev_test, self.splits.app_test, [self.rows])
        return estimate_prevalences("ACC", problem)[0]
