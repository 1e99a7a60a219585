"""How well predicted masks fit the true ones, computed from numbers of voxels alone.

Voxels of any number of slices and volumes are added up before they are compared, so that nothing but these numbers has
to be kept of a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Overlap:
    """Numbers of voxels of a class: in both masks, in the predicted one, in the true one."""

    common: int = 0
    found: int = 0
    true: int = 0

    @classmethod
    def from_masks(cls, found: NDArray[np.bool_], true: NDArray[np.bool_]) -> Overlap:
        """Compare two masks of one shape."""
        return cls(int((found & true).sum()), int(found.sum()), int(true.sum()))

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.common + other.common, self.found + other.found, self.true + other.true)

    @property
    def dice(self) -> float:
        """2 · common / (found + true); 1 where both are empty."""
        return _ratio(2 * self.common, self.found + self.true)

    @property
    def jaccard(self) -> float:
        """Common / either; 1 where both are empty."""
        return _ratio(self.common, self.found + self.true - self.common)

    @property
    def precision(self) -> float:
        """The share of the predicted voxels that are true; 1 if none is predicted."""
        return _ratio(self.common, self.found)

    @property
    def recall(self) -> float:
        """The share of the true voxels that are predicted; 1 if none is true."""
        return _ratio(self.common, self.true)


METRICS: Mapping[str, Callable[[Overlap], float]] = {
    "dice": lambda overlap: overlap.dice,
    "jaccard": lambda overlap: overlap.jaccard,
    "precision": lambda overlap: overlap.precision,
    "recall": lambda overlap: overlap.recall,
}


def _ratio(part: int, total: int) -> float:
    return part / total if total else 1.0
