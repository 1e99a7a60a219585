"""Areas under the ROC curve of two models, as means over folds, and how much they vary with the samples.

Areas are computed within folds and averaged. The area of all folds' predictions pooled also ranks samples of one fold
against those of another, which two fitted models predicted. It changes when the folds' scales shift against each other,
although no model ranks any better or worse (G. Forman and M. Scholz, "Apples-to-Apples in Cross-Validation Studies",
SIGKDD Explorations 12, 2010, 49-57).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.results.store.metrics import auroc

Array = npt.NDArray[Any]
_AT_ONCE = 100
SEED = 42
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Fold:
    """Samples that two models predict: classes ``targets`` (n,), and the ``first`` and ``second`` scores (n, k).

    A column of the scores belongs to a class. With two classes there may be one column, that of class 1.
    """

    targets: Array
    first: Array
    second: Array

    @property
    def classes(self) -> list[int]:
        """Return the classes with a curve: class 1 of two; of more than two, each against the rest."""
        return [1] if self.first.shape[1] <= 2 else list(range(self.first.shape[1]))

    @property
    def is_ranked(self) -> bool:
        """Return whether every class with a curve has samples, and other classes have samples as well."""
        return all(0 < np.count_nonzero(self.targets == number) < self.targets.size for number in self.classes)

    def column(self, scores: Array, number: int) -> Array:
        """Return the scores (n,) of one class."""
        return np.asarray(scores[:, min(number, scores.shape[1] - 1)])


@dataclass(frozen=True, slots=True)
class ResampledAreas:
    """Areas of two models as means over folds; the interval (95 %) and ``p`` of their ``difference``."""

    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        """Return the second area minus the first."""
        return self.second - self.first


def resample_areas(folds: Sequence[Fold], resamples: int = RESAMPLES) -> ResampledAreas:
    """Compare two models by a paired bootstrap over samples; for more than two classes, the mean of their areas.

    Each of the ``resamples`` draws, with replacement, as many samples of each class and fold as there are, the same for
    both models (B. Efron, Annals of Statistics 7, 1979, 1-26). ``low`` and ``high`` are the 2.5 % and 97.5 % quantiles
    of the difference, and ``p`` is twice the smaller share of resamples beyond zero, (1 + hits)/(1 + resamples). Raises
    ValueError if a fold lacks a class.
    """
    if not folds or not all(fold.is_ranked for fold in folds):
        raise ValueError("areas under the ROC curve: a fold lacks a class")
    generator = np.random.default_rng(SEED)
    first, second = (
        float(np.mean([_mean_area(fold, scores) for fold, scores in zip(folds, column, strict=True)]))
        for column in ([fold.first for fold in folds], [fold.second for fold in folds])
    )
    drawn = np.mean([_drawn_differences(fold, generator, resamples) for fold in folds], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    hits = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return ResampledAreas(first, second, float(low), float(high), min(1.0, 2 * (1 + hits) / (1 + resamples)))


def _mean_area(fold: Fold, scores: Array) -> float:
    return float(np.mean([auroc(fold.targets == number, fold.column(scores, number)) for number in fold.classes]))


def _drawn_differences(fold: Fold, generator: np.random.Generator, resamples: int) -> Array:
    parts = []
    for start in range(0, resamples, _AT_ONCE):
        counts = _drawn_counts(fold.targets, generator, min(_AT_ONCE, resamples - start))
        by_class = [
            weighted_areas(counts, fold.targets == number, fold.column(fold.second, number))
            - weighted_areas(counts, fold.targets == number, fold.column(fold.first, number))
            for number in fold.classes
        ]
        parts.append(np.mean(by_class, axis=0))
    return np.concatenate(parts)


def _drawn_counts(targets: Array, generator: np.random.Generator, resamples: int) -> Array:
    """Return how often each sample is drawn (resamples, n); of each class as many are drawn as there are."""
    counts = np.zeros((resamples, targets.size), dtype=np.float64)
    for number in np.unique(targets):
        places = np.flatnonzero(targets == number)
        drawn = generator.integers(places.size, size=(resamples, places.size))
        offsets = np.arange(resamples)[:, None] * places.size
        found = np.bincount((drawn + offsets).ravel(), minlength=resamples * places.size)
        counts[:, places] = found.reshape(resamples, places.size)
    return counts


def weighted_areas(counts: Array, positive: Array, scores: Array) -> Array:
    """Return the area (r,) under the ROC curve of scores (n,), where each sample counts ``counts`` (r, n) times."""
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    ones = np.add.reduceat((counts * positive)[:, order], starts, axis=1)
    others = np.add.reduceat((counts * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    return np.asarray((ones * below).sum(axis=1) / (ones.sum(axis=1) * others.sum(axis=1)))
