"""The mean of the probabilities that one or several models predict for the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.results.store.predictions import HeadPredictions, file_name, read_heads

UNKNOWN = -1
"""The target of a sample whose class is not known."""


@dataclass(frozen=True)
class PredictedSamples:
    """n samples: classes ``targets`` (n,) and ``logits`` (n, k) float32, k at least 2, in the order of the file.

    Targets that are unknown are -1.
    """

    targets: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def class_count(self) -> int:
        """k, at least 2."""
        return int(self.logits.shape[1])

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Return the softmax (n, k) by torch in single precision: thresholds and bins depend on the last bit."""
        import torch

        return np.asarray(torch.softmax(torch.from_numpy(self.logits), dim=1).numpy())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the most probable class (n,) of each sample, the first of several."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """Return how many samples (k,) each class has."""
        return np.bincount(self.targets, minlength=self.class_count)

    def take(self, rows: NDArray[np.int64]) -> PredictedSamples:
        """Return the samples at ``rows``, in that order."""
        return PredictedSamples(self.targets[rows], self.logits[rows])


def read_mean_predictions(folders: Sequence[Path], split: str, labelled: bool = True) -> PredictedSamples:
    """Return what the models in these published folders predict on a split; for several, the mean of probabilities.

    Raises DataFailure if there are no predictions, if the models predicted different samples, or, with ``labelled``, if
    a target is unknown.
    """
    if not folders:
        raise DataFailure(f"split {split}: there are no predictions to read")
    first, *others = (_read_only_head(folder / file_name(split), labelled) for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if not other.ids.equals(first.ids):
            raise DataFailure(f"{folder / file_name(split)}: predicts other samples than {folders[0].name}")
    # A copy, because torch warns about arrays that cannot be written to.
    targets = np.where(first.known, first.targets, UNKNOWN).astype(np.int64)
    members = [PredictedSamples(targets, _to_two_columns(each.logits)) for each in (first, *others)]
    if len(members) == 1:
        return members[0]
    mean = np.mean([member.probabilities for member in members], axis=0, dtype=np.float64)
    return PredictedSamples(targets, np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32))


def _to_two_columns(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a single logit, that of class 1 against class 0, into two columns."""
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits


def _read_only_head(path: Path, labelled: bool) -> HeadPredictions:
    heads = list(read_heads(path))
    if len(heads) != 1:
        raise DataFailure(f"{path}: has {len(heads)} heads; prevalences are estimated from one")
    if labelled and not heads[0].known.all():
        raise DataFailure(f"{path}: has samples without a target")
    return heads[0]
