"""Samples: identifiers, inputs, class targets and, where there are any, groups.

All later steps (folds, resampling, training, prediction) work on rows of one `Samples`, in the order of the file from
which it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError
from seedfold.jobs.locations import locate
from seedfold.jobs.work import DataFailure

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Labels = NDArray[Any]
Reads = Callable[[Path], None]
Flags = NDArray[np.bool_]

UNKNOWN = -1
"""The target of a sample whose class is not known. Only samples held out for testing may have it."""


class StoredInputs(Protocol):
    """Inputs that stay in files until a batch needs them, in some order."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, positions: Indices | slice, /) -> StoredInputs:
        """Return the inputs at these positions, without reading them."""

    def gather(self, positions: Indices | slice, /) -> NDArray[Any]:
        """Read the inputs at these positions (n, ...), floats, or uint8 for 0 … 1; raises DataFailure with the file."""

    @property
    def sample_bytes(self) -> int:
        """Return the memory of one sample, in bytes."""


@dataclass(frozen=True)
class Samples:
    """n samples: ``ids`` n strings, ``inputs`` (n, ...), ``targets`` (n,) int64, ``groups`` (n,) or None.

    Inputs are float32 in memory, or stay in files until they are gathered. ``held_out`` (n,) says which samples the
    data itself keeps for testing, if it does; they may have the target `UNKNOWN`. ``shards`` (n,) says in which of
    several files each sample is, if the files can be used as equal parts. ``masks`` has the class of each pixel, if a
    network learns these; targets then say which classes besides the background a sample shows.
    """

    ids: tuple[str, ...]
    inputs: Floats | StoredInputs
    targets: Indices
    groups: Labels | None = None
    held_out: Flags | None = None
    shards: Indices | None = None
    masks: StoredInputs | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Indices) -> Samples:
        """Return the samples at ``rows``, in that order."""
        groups = None if self.groups is None else self.groups[rows]
        held_out = None if self.held_out is None else self.held_out[rows]
        shards = None if self.shards is None else self.shards[rows]
        masks = None if self.masks is None else self.masks[rows]
        ids = tuple(self.ids[row] for row in rows)
        return Samples(ids, self.inputs[rows], self.targets[rows], groups, held_out, shards, masks)


class SampleSource(Protocol):
    """Reads samples from files; built from ``task.source``."""

    def load(self, reads: Reads) -> Samples:
        """Read everything and report each file to ``reads``; raises DataFailure."""


def require_data_path(path_text: str | Path) -> Path:
    """Return the path of a data file or folder; raises DataFailure if it does not exist."""
    try:
        path = locate(str(path_text))
    except UsageError as error:
        raise DataFailure(str(error)) from error
    if not path.exists():
        raise DataFailure(f"{path}: no such file; check task.source.path and paths.data")
    return path


def check_samples(samples: Samples, where: str, classes: int, *, labelled: bool = True) -> Samples:
    """Return ``samples`` if they are whole; raises DataFailure naming the first invalid row (from 1).

    They must have: at least one sample, unique identifiers, finite inputs in memory, and if ``labelled`` targets among
    ``0 … classes - 1``.
    """
    if labelled:
        check_labels(samples.ids, samples.targets, where, classes, samples.held_out)
    else:
        check_ids(samples.ids, where)
    if isinstance(samples.inputs, np.ndarray):
        _check_finite(samples.ids, samples.inputs, where)
    return samples


def _check_finite(ids: tuple[str, ...], inputs: Floats, where: str) -> None:
    finite = np.isfinite(inputs.reshape(len(ids), -1)).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataFailure(f"{where}: row {row + 1} ({ids[row]}) has a missing or infinite input")


def check_labels(
    ids: tuple[str, ...], targets: Indices, where: str, classes: int, held_out: Flags | None = None
) -> None:
    """Raise DataFailure naming the first row (from 1) with a repeated id, or a target that is no class of the task."""
    check_ids(ids, where)
    known = (targets >= 0) & (targets < classes)
    if held_out is not None:
        known |= held_out & (targets == UNKNOWN)
    if not known.all():
        row = int(np.argmin(known))
        raise DataFailure(
            f"{where}: row {row + 1} ({ids[row]}) has target {targets[row]}; "
            f"task.classes is {classes}, so targets are 0 to {classes - 1}"
        )


def check_ids(ids: tuple[str, ...], where: str) -> None:
    """Raise DataFailure if there is no sample, or naming two rows (from 1) with the same id."""
    if not ids:
        raise DataFailure(f"{where}: holds no samples")
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if first.setdefault(identifier, row) != row:
            raise DataFailure(f"{where}: rows {first[identifier] + 1} and {row + 1} have the same id {identifier!r}")
