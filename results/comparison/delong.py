"""The areas under the ROC curves of several models on the same samples, and their covariance.

The algorithm is that of X. Sun and W. Xu, "Fast Implementation of DeLong's Algorithm for Comparing the Areas Under
Correlated Receiver Operating Characteristic Curves", IEEE Signal Processing Letters 21, 2014, 1389-1393. It computes
what E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson defined in Biometrics 44, 1988, 837-845, from ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class AreaDifference:
    """The area of the second model minus that of the first; ``p`` is None where the variance is zero."""

    difference: float
    low: float
    high: float
    p: float | None


def areas_and_covariance(positive: Array, scores: Array) -> tuple[Array, Array]:
    """Return the areas (k,) of the scores (k, n) of k models, and the covariance (k, k) of these areas.

    ``positive`` (n,) holds at least two samples of each class; raises ValueError otherwise.
    """
    from scipy.stats import rankdata

    ones, zeros = scores[:, positive], scores[:, ~positive]
    m, n = ones.shape[1], zeros.shape[1]
    if m < 2 or n < 2:
        raise ValueError("DeLong: needs two samples of either class")
    ranks = rankdata(np.concatenate([ones, zeros], axis=1), axis=1)
    # For each positive the share of negatives below it, for each negative the share of positives above it.
    of_ones = (ranks[:, :m] - rankdata(ones, axis=1)) / n
    of_zeros = 1 - (ranks[:, m:] - rankdata(zeros, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_ones)) / m + np.atleast_2d(np.cov(of_zeros)) / n
    return of_ones.mean(axis=1), covariance


def compare_areas(folds: Sequence[tuple[Array, Array]], confidence: float = 0.95) -> AreaDifference:
    """Compare the areas of two models; ``folds`` are (positive (n,), scores (2, n)) of different samples.

    The areas are means over the folds, so that only predictions of one fitted model are ranked against each other. The
    variances of the folds are added, because their samples are independent. Raises ValueError as `areas_and_covariance`
    does.
    """
    from scipy.stats import norm

    contrast = np.array([-1.0, 1.0])
    found = [areas_and_covariance(positive, scores) for positive, scores in folds]
    difference = float(np.mean([contrast @ areas for areas, _ in found]))
    variance = float(sum(contrast @ covariance @ contrast for _, covariance in found)) / len(found) ** 2
    # Without rounding, the variance of two equal models would be zero.
    error = max(variance, 0.0) ** 0.5
    half = float(norm.ppf((1 + confidence) / 2)) * error
    if error == 0:
        return AreaDifference(difference, difference, difference, 1.0 if difference == 0 else None)
    return AreaDifference(difference, difference - half, difference + half, float(2 * norm.sf(abs(difference) / error)))
