"""Formulas of class imbalance: the long-tailed class distribution of a ratio, and the weights that undo it.

Pure arithmetic on plain Python floats, so that a study can derive values at plan time that agree exactly with
what a job does to its training set. Class 0 is the most frequent, the last class the rarest.
"""

from __future__ import annotations

from typing import Literal

from seedfold.jobs.derivation import derivation
from seedfold.jobs.errors import UsageError

Scheme = Literal["none", "ratio"]


@derivation
def long_tail_shares(ratio: float, classes: int) -> list[float]:
    """Return the share of each class, summing to 1, when the most frequent is ``ratio`` times the rarest.

    The shares fall geometrically, p_i ∝ ratio^(-i / (classes - 1)): the exponential long tail of Cui, Jia, Lin, Song
    and Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 5.1.
    Raises UsageError for fewer than two classes or a ratio below 1.
    """
    if classes < 2:
        raise UsageError(f"task.classes: {classes} classes cannot be imbalanced; give at least 2")
    if not 1 <= ratio < float("inf"):
        raise UsageError(
            f"sampling.imbalance_ratio: {ratio} is not a ratio of the largest to the smallest class; give at least 1"
        )
    weights = [float(ratio) ** (-number / (classes - 1)) for number in range(classes)]
    total = sum(weights)
    return [part / total for part in weights]


@derivation
def class_weights(scheme: Scheme, ratio: float | None, classes: int) -> list[float] | None:
    """Return one loss weight per class, with mean 1, or None for no weighting.

    ``ratio`` weights each class by the inverse of its share in `long_tail_shares`; without an imbalance (``ratio`` None
    or 1) all weights are 1. Raises UsageError for another scheme.
    """
    if scheme == "none":
        return None
    if scheme != "ratio":
        raise UsageError(f"loss.weighting: {scheme!r} is not a way to weight classes; give none or ratio")
    inverse = [1 / share for share in long_tail_shares(1.0 if ratio is None else ratio, classes)]
    mean = sum(inverse) / classes
    return [weight / mean for weight in inverse]


@derivation
def share_weights(scheme: Literal["none", "shares"], shares: list[float]) -> list[float] | None:
    """Return one loss weight per class, the inverse of its share of the samples, with mean 1; None for no weighting.

    ``shares`` are positive and need not sum to 1, so that they may be counts. Raises UsageError for others, or another
    scheme.
    """
    if scheme == "none":
        return None
    if scheme != "shares":
        raise UsageError(f"loss.weighting: {scheme!r} is not a way to weight classes; give none or shares")
    if len(shares) < 2 or not all(0 < share < float("inf") for share in shares):
        raise UsageError(
            f"loss.shares: {list(shares)} are not shares of classes; give a positive number for each class"
        )
    inverse = [1 / float(share) for share in shares]
    mean = sum(inverse) / len(inverse)
    return [weight / mean for weight in inverse]


def long_tail_counts(available: list[int], ratio: float) -> list[int]:
    """Return how many samples of each class to keep, at most ``available``, so that the ratio becomes ``ratio``.

    The largest numbers n_i = max(1, floor(s · p_i)) with s = min(available_i / p_i) over the shares p of
    `long_tail_shares`: as many samples as the data allow. Raises UsageError if a class has no sample.
    """
    if min(available, default=0) < 1:
        raise UsageError(f"sampling.imbalance_ratio: class {available.index(0)} has no training sample to keep")
    shares = long_tail_shares(ratio, len(available))
    scale = min(count / share for count, share in zip(available, shares, strict=True))
    # Rounding could turn an exact whole number into one less; the small surplus prevents this.
    kept = [int(scale * share * (1 + 1e-12)) for share in shares]
    return [max(1, min(count, count_available)) for count, count_available in zip(kept, available, strict=True)]
