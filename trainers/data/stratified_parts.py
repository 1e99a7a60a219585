"""Deals samples into equal parts with a seed; folds and shards are such parts.

Every function returns the part (n,) of each row, from 0, and depends only on its arguments. Random numbers are
those of ``numpy.random.default_rng(seed)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seedfold.trainers.data.samples import Indices, Labels


def stratify(strata: Sequence[Labels], parts: int, seed: int) -> Indices:
    """Permute the rows, sort them by their strata, and deal them out in turn.

    ``strata`` are columns (n,); the first is the most important. Each combination of values, whatever its size, and all
    rows together are spread over the parts evenly, to a row; so are the values of the first column.
    """
    count = len(strata[0])
    shuffled = np.random.default_rng(seed).permutation(count)
    numbers = [np.unique(column, return_inverse=True)[1][shuffled] for column in strata]
    order = shuffled[np.lexsort(numbers[::-1])]
    part_of_rows = np.empty(count, dtype=np.int64)
    part_of_rows[order] = np.arange(count) % parts
    return part_of_rows


def triple_stratify(targets: Indices, groups: Labels, parts: int, seed: int) -> Indices:
    """Deal out whole groups, so that parts agree in three numbers: positives, samples per group, and samples.

    Groups are dealt from the largest number of positives (targets above 0) and of samples to the smallest, in random
    order among equals. A group with positives goes to a part that so far has the fewest positives. Among these parts
    (or all parts, for a group without positives) it goes to the one with the fewest groups of the same number of
    samples, then to the one with the fewest samples. (The order of stratification is
    that of C. Deotte's "Triple Stratified KFold", 2020.)
    """
    _, number = np.unique(groups, return_inverse=True)
    sizes = np.bincount(number)
    positives = np.bincount(number, weights=targets > 0).astype(np.int64)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.lexsort((-sizes[shuffled], -positives[shuffled]))]
    part_of_group = np.empty(len(sizes), dtype=np.int64)
    loads = _PartLoads(parts)
    for group in order.tolist():
        part_of_group[group] = loads.add_group(int(sizes[group]), int(positives[group]))
    return np.asarray(part_of_group[number], dtype=np.int64)


class _PartLoads:
    """The content of each part so far."""

    def __init__(self, parts: int) -> None:
        self._samples, self._positives = np.zeros(parts, np.int64), np.zeros(parts, np.int64)
        self._parts = parts
        self._groups_by_size: dict[int, Any] = {}

    def add_group(self, samples: int, positives: int) -> int:
        """Add a group to the part that needs it most; return the part."""
        groups_of_size = self._groups_by_size.setdefault(samples, np.zeros(self._parts, np.int64))
        keys = (self._samples, groups_of_size) if not positives else (self._samples, groups_of_size, self._positives)
        part = int(np.lexsort(keys)[0])
        groups_of_size[part] += 1
        self._samples[part] += samples
        self._positives[part] += positives
        return part
