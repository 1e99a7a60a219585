"""Samples: identifiers, inputs, class targets and, where there are any, groups.

Everything downstream (folds, resampling, training, prediction) works on rows of one `Samples`, in the order of the
file it was read from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError
from seedfold.jobs.locations import locate
from seedfold.jobs.work import DataFailure

if TYPE_CHECKING:
    from seedfold.trainers.data.cache import CachedImages

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Labels = NDArray[Any]
Reads = Callable[[Path], None]


@dataclass(frozen=True)
class Samples:
    """n samples: ``ids`` n strings, ``inputs`` (n, ...), ``targets`` (n,) int64, ``groups`` (n,) or None.

    Inputs are float32 in memory, or images of a cache that are read when they are gathered.
    """

    ids: tuple[str, ...]
    inputs: Floats | CachedImages
    targets: Indices
    groups: Labels | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Indices) -> Samples:
        """Return the samples at ``rows``, in that order."""
        groups = None if self.groups is None else self.groups[rows]
        return Samples(tuple(self.ids[row] for row in rows), self.inputs[rows], self.targets[rows], groups)


class Source(Protocol):
    """Reads samples from files; built from ``task.source``."""

    def load(self, reads: Reads) -> Samples:
        """Read everything and report each file to ``reads``; raises DataFailure."""


def existing(place: str | Path) -> Path:
    """Return the path of a data file or folder, which must be there; raises DataFailure."""
    try:
        path = locate(str(place))
    except UsageError as error:
        raise DataFailure(str(error)) from error
    if not path.exists():
        raise DataFailure(f"{path}: no such file; check task.source.path and paths.data")
    return path


def check(samples: Samples, where: str, classes: int) -> Samples:
    """Return ``samples`` if they are whole; raises DataFailure naming the first row (from 1) that is not.

    Checked: at least one sample, unique identifiers, finite inputs, targets among ``0 … classes - 1``.
    """
    check_labels(samples.ids, samples.targets, where, classes)
    if isinstance(samples.inputs, np.ndarray):
        _check_finite(samples.ids, samples.inputs, where)
    return samples


def _check_finite(ids: tuple[str, ...], inputs: Floats, where: str) -> None:
    finite = np.isfinite(inputs.reshape(len(ids), -1)).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataFailure(f"{where}: row {row + 1} ({ids[row]}) has a missing or infinite input")


def check_labels(ids: tuple[str, ...], targets: Indices, where: str, classes: int) -> None:
    """Raise DataFailure naming the first row (from 1) whose id is taken or whose target is no class of the task."""
    if not ids:
        raise DataFailure(f"{where}: holds no samples")
    _check_unique(ids, where)
    known = (targets >= 0) & (targets < classes)
    if not known.all():
        row = int(np.argmin(known))
        raise DataFailure(
            f"{where}: row {row + 1} ({ids[row]}) has target {targets[row]}; "
            f"task.classes is {classes}, so targets are 0 to {classes - 1}"
        )


def _check_unique(ids: tuple[str, ...], where: str) -> None:
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if first.setdefault(identifier, row) != row:
            raise DataFailure(f"{where}: rows {first[identifier] + 1} and {row + 1} have the same id {identifier!r}")
