"""The input of a method of prevalence estimation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.mean_predictions import PredictedSamples

DEFAULT_SEED = 0
"""The default seed of the points that KDEyHD draws."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class QuantificationProblem:
    """Samples of unknown prevalences: positions ``samples`` in a ``pool``. No method uses the targets of the pool.

    Methods learn from the labelled predictions ``labelled``. ``seed`` is for methods that draw points.
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
        """Return whether no probability is NaN or infinite."""
        return all(bool(np.isfinite(known.probabilities).all()) for known in (self.labelled, self.pool))


Quantifier = Callable[[QuantificationProblem], Sequence[Floats]]
"""A method: it returns one estimate (k,) for each sample."""
