"""A model's predictions where it was developed, and in simulated deployments with other class ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.members import Predicted, read_members
from seedfold.results.prevalence.quantify import Problem, prevalences
from seedfold.results.prevalence.scaling import BASE_SEED, resample
from seedfold.results.prevalence.settings import SPLITS


@dataclass(frozen=True)
class Splits:
    """What one model predicts: ``dev_cal`` to calibrate on, the balanced ``dev_test``, and ``app_test``, all of it."""

    dev_cal: Predicted
    dev_test: Predicted
    app_test: Predicted

    @classmethod
    def read(cls, folders: Sequence[Path], names: Sequence[str] = SPLITS) -> Splits:
        """Read the splits, called ``names``, from published folders; several are averaged. Raises as `read_members`."""
        return cls(*(read_members(folders, split) for split in names))

    def at(self, ratio: float, base_seed: int = BASE_SEED) -> Deployment:
        """Return the deployment at a ratio. Raises as `resample`: ImpossibleScaling, UsageError."""
        return Deployment(ratio, self, resample(self.app_test.targets, self.app_test.classes, ratio, base_seed))


@dataclass(frozen=True)
class Deployment:
    """A deployment with the class ratio ``ratio``: the samples of ``app_test`` at positions ``rows`` (m,)."""

    ratio: float
    splits: Splits
    rows: NDArray[np.int64]

    @cached_property
    def sample(self) -> Predicted:
        """The predictions (m, k) in this deployment."""
        return self.splits.app_test.take(self.rows)

    @cached_property
    def exact(self) -> NDArray[np.float64]:
        """The prevalences (k,) that a deployment has."""
        return self.sample.counts / len(self.rows)

    @cached_property
    def estimated(self) -> NDArray[np.float64]:
        """The prevalences (k,) as ACC estimates them; one may be exactly 0."""
        problem = Problem(self.splits.dev_test, self.splits.app_test, [self.rows])
        return prevalences("ACC", problem)[0]
