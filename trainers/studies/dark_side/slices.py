"""Slices of seismic volumes from the stage ``slices`` as samples; each is read when a batch needs it.

The class of a sample is 1 if its slice shows a fault, its group is the volume, and its mask has the class of each
pixel. Empty masks are not stored in files: they are made when they are needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.npy_files import read_header
from seedfold.trainers.data.samples import UNKNOWN, Indices, Samples
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.studies.dark_side.slice_files import AXES, masks_file, slices_file

EMPTY_MASK = -1
_RUN_AGAIN = "run the stage that wrote it again"


@dataclass(frozen=True)
class Slices:
    """Slices along ``axes``, as images (1, height, depth), or with ``vertical`` as images (1, depth, height).

    ``num_workers`` threads read them.
    """

    axes: Sequence[int] = AXES
    vertical: bool = False
    num_workers: int = 1

    def __post_init__(self) -> None:
        if not self.axes or not set(self.axes) <= set(AXES):
            raise ConfigFailure(f"task.slices.axes: {list(self.axes)}; give [0], [1] or [0, 1]")

    def load(self, folder: Path) -> Samples:
        """Return the slices in a folder that the stage published, with masks unless faults are not known.

        They are in the order of the index: by volume, axis and position. Raises DataFailure for a file that is missing,
        does not agree with the index, or has slices of another size than the others.
        """
        index = _read_index(folder / SLICES_INDEX, self.axes)
        images = _Stacks.from_index(folder, index, slices_file, index.positions, np.dtype(np.float16))
        masks = (
            None
            if index.faults is None
            else self._make_file_inputs(_make_mask_stacks(folder, index, images), channel=False)
        )
        inputs, groups = self._make_file_inputs(images, channel=True), np.asarray(index.volumes)
        return Samples(index.ids, inputs, index.targets, groups, masks=masks)

    def _make_file_inputs(self, stacks: _Stacks, *, channel: bool) -> FileInputs:
        shape = stacks.shape[::-1] if self.vertical else stacks.shape
        rows = np.arange(len(stacks.file_numbers), dtype=np.int64)

        def read_row(row: int, into: NDArray[Any]) -> None:
            image = into[0] if channel else into
            if self.vertical:
                image[:] = stacks.read_image(row).T
            else:
                stacks.read_into(row, image)

        return FileInputs(read_row, (1, *shape) if channel else shape, stacks.dtype, rows, self.num_workers)


@dataclass(frozen=True)
class _Index:
    """The columns of the index; ``faults`` is None if faults are not known."""

    volumes: list[str]
    axes: list[int]
    positions: Indices
    masks: Indices
    faults: Indices | None

    @property
    def ids(self) -> tuple[str, ...]:
        rows = zip(self.volumes, self.axes, self.positions.tolist(), strict=True)
        return tuple(f"{volume}/{axis}/{position:04d}" for volume, axis, position in rows)

    @property
    def targets(self) -> Indices:
        if self.faults is None:
            return np.full(len(self.volumes), UNKNOWN, dtype=np.int64)
        return np.asarray(self.faults > 0, dtype=np.int64)


def _read_index(path: Path, axes: Sequence[int]) -> _Index:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, filters=[("axis", "in", list(axes))])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataFailure(f"{path}: cannot be read: {error}") from error
    if not table.num_rows:
        raise DataFailure(f"{path}: has no slices along axes {list(axes)}")
    positions, masks = (np.asarray(table.column(name).to_numpy(), np.int64) for name in ("position", "mask"))
    faults = table.column("faults")
    known = None if faults.null_count else np.asarray(faults.to_numpy(), np.int64)
    return _Index(table.column("volume").to_pylist(), table.column("axis").to_pylist(), positions, masks, known)


def _make_mask_stacks(folder: Path, index: _Index, images: _Stacks) -> _Stacks:
    masks = _Stacks.from_index(folder, index, masks_file, index.masks, np.dtype(np.uint8))
    if masks.shape != images.shape:
        raise DataFailure(f"{masks.files[0]}: has masks {masks.shape}, but the slices are {images.shape}")
    return masks


@dataclass(frozen=True)
class _Stacks:
    """Images of one ``shape`` (height, width) that are stacked in several files.

    ``numbers`` says for each row which of the files has its image, ``positions`` the position in it, or `EMPTY_MASK`
    for an image of zeros; ``begin`` is where the first image of a file begins.
    """

    files: list[Path]
    data_offsets: list[int]
    file_numbers: Indices
    positions: Indices
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def from_index(
        cls, folder: Path, index: _Index, file_name: Callable[[int], str], positions: Indices, dtype: np.dtype[Any]
    ) -> _Stacks:
        """Check the header of every file; raises DataFailure for a file that does not agree with the index."""
        stacks = list(zip(index.volumes, index.axes, strict=True))
        number = {stack: count for count, stack in enumerate(dict.fromkeys(stacks))}
        numbers = np.asarray([number[stack] for stack in stacks], dtype=np.int64)
        files = [folder / volume / file_name(axis) for volume, axis in number]
        headers = [_read_header(file, dtype) for file in files]
        counts = np.zeros(len(files), dtype=np.int64)
        np.maximum.at(counts, numbers, positions + 1)
        for file, header, count in zip(files, headers, counts.tolist(), strict=True):
            _check_header(file, header, count, headers[0])
        return cls(files, [header.data_offset for header in headers], numbers, positions, headers[0].shape[1:], dtype)

    def read_into(self, row: int, into: NDArray[Any]) -> None:
        """Read the image of a row into an array of its shape and type."""
        position, number = int(self.positions[row]), int(self.file_numbers[row])
        if position == EMPTY_MASK:
            into[:] = 0
            return
        try:
            with self.files[number].open("rb", buffering=0) as file:
                count = os.preadv(
                    file.fileno(), [into.reshape(-1).data], self.data_offsets[number] + position * into.nbytes
                )
        except OSError as error:
            raise DataFailure(f"{self.files[number]}: image {position} cannot be read: {error}") from error
        if count != into.nbytes:
            raise DataFailure(f"{self.files[number]}: is cut short at image {position}; {_RUN_AGAIN}")

    def read_image(self, row: int) -> NDArray[Any]:
        """Return the image of a row."""
        image = np.empty(self.shape, dtype=self.dtype)
        self.read_into(row, image)
        return image


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    data_offset: int


def _check_header(file: Path, header: _Header, count: int, first: _Header) -> None:
    if header.shape[0] != count:
        raise DataFailure(f"{file}: has {header.shape[0]} images, but the index lists {count}; {_RUN_AGAIN}")
    if header.shape[1:] != first.shape[1:]:
        raise DataFailure(
            f"{file}: has slices {header.shape[1:]}, others have {first.shape[1:]}; use one axis, or volumes as wide as"
            " they are long"
        )


def _read_header(path: Path, dtype: np.dtype[Any]) -> _Header:
    try:
        with path.open("rb") as file:
            shape, fortran, kind = read_header(file)
            header, size = _Header(shape, file.tell()), os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        raise DataFailure(f"{path}: cannot be read as slices: {error}; {_RUN_AGAIN}") from error
    if fortran or kind != dtype or len(shape) != 3:
        raise DataFailure(f"{path}: holds {kind} {shape}, which is not an array of slices; {_RUN_AGAIN}")
    if size != header.data_offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise DataFailure(f"{path}: has {size} bytes, which is not {shape[0]} images; {_RUN_AGAIN}")
    return header
