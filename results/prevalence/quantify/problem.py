"""The input of a method of prevalence estimation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.mean_predictions import PredictedSamples

DEFAULT_SEED = 0
"""Of the points that KDEyHD draws."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class QuantificationProblem:
    """Samples of unknown prevalences: positions ``samples`` in a ``pool``, whose targets no method looks at.

    Methods learn from the labelled predictions ``labelled``. ``seed`` is that of methods that draw.
    """

    labelled: PredictedSamples
    pool: PredictedSamples
    samples: Sequence[Rows]
    seed: int = DEFAULT_SEED

    @property
    def class_count(self) -> int:
        """k, at least 2."""
        return self.labelled.class_count

    @property
    def is_finite(self) -> bool:
        """Whether all probabilities are numbers."""
        return all(bool(np.isfinite(known.probabilities).all()) for known in (self.labelled, self.pool))


Quantifier = Callable[[QuantificationProblem], Sequence[Floats]]
"""Estimates (k,), one for each sample."""
