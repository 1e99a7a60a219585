"""Whether two classifiers are right on different samples: McNemar's test, and an interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SEED = 42
RESAMPLES = 9999


@dataclass(frozen=True, slots=True)
class Agreement:
    """On how many of ``samples`` only the first, and only the second, of two classifiers is right."""

    only_first: int
    only_second: int
    samples: int

    @classmethod
    def of(cls, right_first: Array, right_second: Array) -> Agreement:
        """Count the samples; the arguments say on which samples (n,) each classifier is right."""
        first, second = np.asarray(right_first, dtype=bool), np.asarray(right_second, dtype=bool)
        return cls(int((first & ~second).sum()), int((second & ~first).sum()), first.size)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p value of McNemar's test; 1 if the classifiers err on the same samples.

    Q. McNemar, "Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages",
    Psychometrika 12, 1947, 153-157. The counts are numbers of samples on which only one classifier is right.
    """
    from scipy.stats import binomtest

    differing = only_first + only_second
    return 1.0 if not differing else float(binomtest(min(only_first, only_second), differing, 0.5).pvalue)


def accuracy_interval(folds: Sequence[Agreement], confidence: float = 0.95) -> tuple[float, float]:
    """Return the paired bootstrap interval of the second accuracy minus the first, over all samples of the folds.

    Samples are drawn with replacement within each fold, 9999 times; since there are only three kinds of samples (with
    the difference -1, 0 or 1), the numbers of each kind are drawn from the multinomial distribution (B. Efron, Annals
    of Statistics 7, 1979, 1-26).
    """
    generator = np.random.default_rng(SEED)
    total = np.zeros(RESAMPLES)
    for fold in folds:
        kinds = np.array([fold.only_first, fold.only_second, fold.samples - fold.only_first - fold.only_second])
        drawn = generator.multinomial(fold.samples, kinds / fold.samples, size=RESAMPLES)
        total += drawn[:, 1] - drawn[:, 0]
    low, high = np.quantile(total / sum(fold.samples for fold in folds), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
