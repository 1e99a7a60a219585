"""Which training samples an epoch draws, and in which order: they depend only on seed and epoch.

Therefore an interrupted epoch can continue in its middle: the order need not be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seedfold.jobs.errors import UsageError
from seedfold.jobs.imbalance import long_tail_counts
from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.samples import Indices

Draw = Literal["shuffle", "balanced"]

# Each purpose has its own stream of the seed, so that draws for one purpose do not change the draws for another.
_SUBSET_STREAM, _ORDER_STREAM = 1, 2


def draw_long_tail(targets: Indices, classes: int, ratio: float | None, seed: int) -> Indices:
    """Return the positions to keep, ascending, so that the classes form a long tail with the imbalance ratio ``ratio``.

    They are drawn without replacement by ``seed``; see `seedfold.jobs.imbalance.long_tail_counts` for the formula.
    None keeps everything. Raises DataFailure if a class has no sample, ConfigFailure for a ratio below 1.
    """
    if ratio is None:
        return np.arange(len(targets), dtype=np.int64)
    available = np.bincount(targets, minlength=classes).tolist()
    if min(available) < 1:
        raise DataFailure(f"task.source: class {available.index(0)} has no training sample; nothing to resample")
    try:
        counts = long_tail_counts(available, ratio)
    except UsageError as error:
        raise ConfigFailure(str(error)) from error
    generator = np.random.default_rng([seed, _SUBSET_STREAM])
    kept = [generator.permutation(np.flatnonzero(targets == number))[:count] for number, count in enumerate(counts)]
    return np.sort(np.concatenate(kept)).astype(np.int64)


@dataclass(frozen=True)
class TrainingOrder:
    """The training order of n samples: ``of(epoch)`` gives n positions.

    ``shuffle`` is a permutation; ``balanced`` draws n times with replacement, each class equally likely.
    """

    targets: Indices
    seed: int
    draw: Draw = "shuffle"

    def positions(self, epoch: int) -> Indices:
        """Return the positions (n,) int64 that epoch ``epoch`` (from 0) visits."""
        generator = np.random.default_rng([self.seed, _ORDER_STREAM, epoch])
        if self.draw == "shuffle":
            return generator.permutation(len(self.targets)).astype(np.int64)
        return generator.choice(len(self.targets), size=len(self.targets), p=self._balanced_shares()).astype(np.int64)

    def _balanced_shares(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        _, number, count = np.unique(self.targets, return_inverse=True, return_counts=True)
        share = 1.0 / (len(count) * count[number])
        return np.asarray(share / share.sum(), dtype=np.float64)


def make_order(targets: Indices, sampling: Mapping[str, Any], seed: int) -> TrainingOrder:
    """Build the order that ``sampling.draw`` names; raises ConfigFailure for an unknown name."""
    draw = sampling.get("draw", "shuffle")
    if draw not in ("shuffle", "balanced"):
        raise ConfigFailure(f"sampling.draw: {draw!r} is not one of shuffle, balanced")
    return TrainingOrder(targets, seed, draw)
