"""A test set resampled to another ratio of its classes, as in Godau et al., MICCAI 2023.

Counts are computed in single precision and samples are drawn by torch's generator. Thus the published samples can be
drawn again from the published predictions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError

MIN_CLASS_SAMPLES = 9
"""The smallest number of samples that a class may keep."""
BASE_SEED = 42

Counts = NDArray[np.int64]


class ImpossibleScalingError(Exception):
    """A ratio that would leave too few samples of a class."""


def scale_counts(counts: Sequence[int], ratio: float) -> Counts:
    """Return how many samples to keep of each class, so that the largest divided by the smallest is ``ratio``.

    With R = max/min of ``counts``: for ratio ≥ R every class but the largest keeps trunc(c_i·max / (min·ratio)),
    otherwise every class keeps trunc(min + (ratio - 1)/(R - 1)·(c_i - min)), all in float32. Raises
    ImpossibleScalingError if a class would keep fewer than `MIN_CLASS_SAMPLES`, UsageError for a ratio below 1.
    """
    if not 1 <= ratio < float("inf"):
        raise UsageError(
            f"imbalance_ratio: {ratio} is not a ratio of the largest to the smallest class; give at least 1"
        )
    if min(counts, default=0) < 1:
        raise ImpossibleScalingError(f"class {list(counts).index(min(counts))} has no samples")
    counts_given = np.asarray(counts, dtype=np.float32)
    smallest, largest = counts_given.min(), counts_given.max()
    current_ratio, wanted_ratio = largest / smallest, np.float32(ratio)
    if wanted_ratio >= current_ratio:
        kept = np.trunc(counts_given * largest / (smallest * wanted_ratio))
        kept[counts_given.argmax()] = largest
    else:
        # The published counts were computed by torch, which divides a number by a tensor in two steps.
        step = np.float32(1) / (current_ratio - np.float32(1)) * np.float32(ratio - 1)
        kept = np.trunc(smallest + step * (counts_given - smallest))
    if kept.min() < MIN_CLASS_SAMPLES:
        number = int(kept.argmin())
        samples_left = int(kept[number])
        raise ImpossibleScalingError(
            f"ratio {ratio:g} would leave {samples_left} samples of class {number};"
            f" at least {MIN_CLASS_SAMPLES} are needed"
        )
    return np.asarray(kept, dtype=np.int64)


def resample_rows(
    targets: NDArray[np.int64], classes: int, ratio: float, base_seed: int = BASE_SEED
) -> NDArray[np.int64]:
    """Return the positions (m,) of a sample at ``ratio``, class after class, drawn without replacement.

    The seed is ``base_seed`` + 100·ratio, cut to a whole number. Raises as `scale_counts`.
    """
    import torch

    kept = scale_counts(np.bincount(targets, minlength=classes).tolist(), ratio)
    generator = torch.Generator().manual_seed(int(base_seed + 100 * ratio))
    drawn = []
    for number, count in enumerate(kept):
        positions = np.flatnonzero(targets == number)
        # Draw also for a class that keeps all its samples: the draws of the next class depend on it.
        order = torch.randperm(len(positions), generator=generator).numpy()
        drawn.append(positions[order[:count]])
    return np.concatenate(drawn)
