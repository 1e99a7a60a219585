"""Predictions of one or several models on the same samples, as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.results.metrics import probabilities
from seedfold.results.predictions import HeadPredictions, file_name, read_heads


@dataclass(frozen=True)
class Predicted:
    """n samples: classes ``targets`` (n,) and ``probabilities`` (n, k) float64, in the order of the file."""

    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def classes(self) -> int:
        """k, at least 2."""
        return int(self.probabilities.shape[1])

    @property
    def labels(self) -> NDArray[np.int64]:
        """The most probable class (n,) of each sample, the first of several."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def take(self, rows: NDArray[np.int64]) -> Predicted:
        """The samples at ``rows``, in that order."""
        return Predicted(self.targets[rows], self.probabilities[rows])


def read_members(folders: Sequence[Path], split: str) -> Predicted:
    """Return what the models in these published folders predict on a split, on average.

    Raises DataFailure where there is none, a target is unknown, or the models predicted other samples.
    """
    if not folders:
        raise DataFailure(f"split {split}: there are no predictions to read")
    first, *others = (_only_head(folder / file_name(split)) for folder in folders)
    total = probabilities(first.logits)
    for folder, other in zip(folders[1:], others, strict=True):
        if not other.ids.equals(first.ids):
            raise DataFailure(f"{folder / file_name(split)}: predicts other samples than {folders[0].name}")
        total = total + probabilities(other.logits)
    return Predicted(np.asarray(first.targets, dtype=np.int64), total / len(folders))


def _only_head(path: Path) -> HeadPredictions:
    heads = list(read_heads(path))
    if len(heads) != 1:
        raise DataFailure(f"{path}: has {len(heads)} heads; prevalences are estimated from one")
    if not heads[0].known.all():
        raise DataFailure(f"{path}: has samples without a target")
    return heads[0]
