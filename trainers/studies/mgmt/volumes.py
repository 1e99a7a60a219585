"""Samples from a table of cases and a folder of volumes, one array per modality: ``FOLDER/CASE/MODALITY.npy``.

Volumes stay in their files until a batch needs them. Each modality is standardised with the mean and
deviation that the table has for the case, and cut off; the mask is the last channel, after the modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.npy_files import Header, inspect_array, read_array
from seedfold.trainers.data.samples import (
    UNKNOWN,
    Flags,
    Floats,
    Indices,
    Reads,
    Samples,
    check_samples,
    require_data_path,
)
from seedfold.trainers.data.table import (
    Column,
    find_column,
    read_folds,
    read_frame,
    read_ids,
    to_class_numbers,
    to_floats,
)

if TYPE_CHECKING:
    import pandas as pd

_REAL_KINDS, _REAL_OR_BOOLEAN_KINDS = "iuf", "biuf"
Read = TypeVar("Read", Header, NDArray[Any])


@dataclass(frozen=True)
class Volumes:
    """Read cases with volumes of ``size`` (depth, height, width); ``modalities`` says of each whether it is used.

    ``id``, ``target`` and ``cohort`` are columns of the table ``table_path``; so are MODALITY + ``mean`` and
    MODALITY + ``deviation``. A case is in the cohort ``train`` or ``test``; cases of ``test`` are held out and may lack
    their target. ``fold`` is a column with the fold (from 0) in which a case validates, for ``task.folds.kind: given``;
    cases of ``test`` may lack it. Voxels become (x - mean) / deviation, cut off at ± ``clip``.
    """

    path: str
    table_path: str
    modalities: Mapping[str, bool]
    size: Sequence[int]
    classes: int = 2
    id: Column = "case"
    target: Column = "label"
    cohort: Column = "cohort"
    train: str = "train"
    test: str = "test"
    mean: str = "_mean"
    deviation: str = "_sd"
    mask: str = "mask"
    clip: float = 4.0
    fold: Column | None = None

    @property
    def used_modalities(self) -> list[str]:
        """Return the modalities that are used, in their order."""
        return [name for name, on in self.modalities.items() if on]

    def load(self, reads: Reads) -> Samples:
        """Read the table and check every file that a job may need; raises DataFailure naming file and row."""
        if not self.used_modalities:
            raise ConfigFailure(f"task.modalities: none of {', '.join(self.modalities)} is switched on")
        folder, path = require_data_path(self.path), require_data_path(self.table_path)
        reads(path)
        frame = read_frame(path, text=[self.id])
        ids, held_out = read_ids(frame, self.id, path), self._read_held_out(frame, path)
        targets = self._read_targets(frame, held_out, path)
        scales = _Scales(*(self._read_scale(frame, suffix, path) for suffix in (self.mean, self.deviation)))
        _check_deviations(scales, self.used_modalities, ids, path)
        files = tuple(
            tuple(folder / case / f"{name}.npy" for name in (*self.used_modalities, self.mask)) for case in ids
        )
        volumes = StoredVolumes(path, files, tuple(self.size), scales, self.clip)
        samples = check_samples(
            Samples(ids, volumes, targets, held_out=held_out, shards=read_folds(frame, self.fold, path, held_out)),
            str(path),
            self.classes,
        )
        volumes.check_headers()
        return samples

    def _read_held_out(self, frame: pd.DataFrame, path: Path) -> Flags:
        cohorts = frame[find_column(frame, self.cohort, path)].astype("object")
        wrong = ~cohorts.isin([self.train, self.test]).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            known = f"{self.train} or {self.test}"
            raise DataFailure(f"{path}: row {row + 1} is of the cohort {cohorts.iloc[row]!r}; it should be {known}")
        return (cohorts == self.test).to_numpy(dtype=bool)

    def _read_targets(self, frame: pd.DataFrame, held_out: Flags, path: Path) -> Indices:
        values = frame[find_column(frame, self.target, path)]
        unknown = values.isna().to_numpy() & held_out
        targets = to_class_numbers(values.mask(unknown, 0), None, path)
        return np.where(unknown, UNKNOWN, targets)

    def _read_scale(self, frame: pd.DataFrame, suffix: str, path: Path) -> Floats:
        return to_floats(frame[[find_column(frame, f"{name}{suffix}", path) for name in self.used_modalities]], path)


@dataclass(frozen=True)
class _Scales:
    """Means and deviations (n, modalities)."""

    mean: Floats
    deviation: Floats

    def __getitem__(self, rows: Any) -> _Scales:
        return _Scales(self.mean[rows], self.deviation[rows])


def _check_deviations(scales: _Scales, names: Sequence[str], ids: Sequence[str], path: Path) -> None:
    wrong = scales.deviation <= 0
    if wrong.any():
        row, number = np.argwhere(wrong)[0]
        found = scales.deviation[row, number]
        raise DataFailure(
            f"{path}: row {row + 1} ({ids[row]}): the deviation of {names[number]} is {found}, not above 0"
        )


@dataclass(frozen=True)
class StoredVolumes:
    """Volumes of n cases in ``files`` (the mask last of each case), whose cases are rows of ``table``."""

    table: Path
    files: tuple[tuple[Path, ...], ...]
    size: tuple[int, ...]
    scales: _Scales
    clip: float
    rows: Indices | None = None
    """Positions of the cases that are used; None for all."""

    def __len__(self) -> int:
        return len(self._chosen_rows)

    @property
    def _chosen_rows(self) -> Indices:
        return np.arange(len(self.files), dtype=np.int64) if self.rows is None else self.rows

    def __getitem__(self, positions: Indices | slice) -> StoredVolumes:
        """Return the cases at these positions, still unread."""
        return replace(self, rows=self._chosen_rows[positions])

    @property
    def sample_bytes(self) -> int:
        """Return the memory of one case, in bytes."""
        return int(np.prod(self.size)) * len(self.files[0]) * np.dtype(np.float32).itemsize

    def check_headers(self) -> None:
        """Check the header of every file; raises DataFailure for a missing file, or another shape or type."""
        for row in self._chosen_rows.tolist():
            for number in range(len(self.files[row])):
                self._read_with(inspect_array, row, number)

    def gather(self, positions: Indices | slice) -> Floats:
        """Read cases (n, modalities + 1, *size), scaled and with the mask last."""
        rows = self._chosen_rows[positions].tolist()
        read = np.empty((len(rows), len(self.files[0]), *self.size), dtype=np.float32)
        for position, row in enumerate(rows):
            self._read_case(row, read[position])
        return read

    def _read_case(self, row: int, into: Floats) -> None:
        *images, mask = range(len(into))
        for number in images:
            scale = self.scales[row, number]
            scaled = (self._read_voxels(row, number) - scale.mean) / scale.deviation
            np.clip(scaled, -self.clip, self.clip, out=into[number])
        into[mask] = self._read_voxels(row, mask) > 0

    def _read_voxels(self, row: int, number: int) -> Floats:
        # Not mapped into memory: if the file system fails, reading raises an error and does not kill the process.
        voxels = np.asarray(self._read_with(read_array, row, number), dtype=np.float32)
        if not np.isfinite(voxels).all():
            raise DataFailure(f"{self._describe_file(row, number)}: has a missing or infinite voxel")
        return voxels

    def _read_with(self, read: Callable[[Path], Read], row: int, number: int) -> Read:
        file, is_mask = self.files[row][number], number == len(self.files[row]) - 1
        try:
            found = read(file)
        except FileNotFoundError:
            raise DataFailure(f"{self._describe_file(row, number)}: does not exist") from None
        except (OSError, ValueError) as error:
            raise DataFailure(f"{self._describe_file(row, number)}: cannot be read as an array: {error}") from error
        if found.shape != self.size:
            wanted = f"task.size is {list(self.size)}"
            raise DataFailure(f"{self._describe_file(row, number)}: has the shape {list(found.shape)}, {wanted}")
        if found.dtype.kind not in (_REAL_OR_BOOLEAN_KINDS if is_mask else _REAL_KINDS):
            raise DataFailure(f"{self._describe_file(row, number)}: holds {found.dtype}, not real numbers")
        return found

    def _describe_file(self, row: int, number: int) -> str:
        return f"{self.files[row][number]} (row {row + 1} of {self.table})"
