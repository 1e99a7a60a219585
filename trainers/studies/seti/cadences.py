"""Cadences of spectrograms: one NumPy file per sample with several spectrograms, read when needed.

A cadence is observed with the telescope on and off target in turn; the configuration says which of its positions
become channels. Files lie in folders named by the first characters of their ids: ``train/0/00034abb3629.npy``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import count_noun
from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.npy_files import read_header
from seedfold.trainers.data.samples import UNKNOWN, Indices, Reads, Samples, check_samples, require_data_path
from seedfold.trainers.data.table import Column, find_column, read_frame, read_ids, to_class_numbers

_DTYPE = np.dtype("<f2")


@dataclass(frozen=True)
class Cadences:
    """Read ``channels``, some of the positions of files of ``shape`` (positions, height, width), as float16.

    ``path`` is the folder, ``labels_path`` the table; ``id`` and ``target`` are its columns. Without ``target`` classes
    are unknown, as in a test set. Groups are the column ``group``, else the folders. Spectrograms are resized to
    ``size`` (height, width) with antialiasing, if given. ``num_workers`` threads read.
    """

    path: str
    labels_path: str
    classes: int
    id: Column = "id"
    target: Column | None = "target"
    group: Column | None = None
    channels: Sequence[int] = (0, 2, 4)
    shape: Sequence[int] = (6, 273, 256)
    size: Sequence[int] | None = None
    folder_characters: int = 1
    num_workers: int = 1

    def __post_init__(self) -> None:
        for channel in self.channels:
            if not 0 <= channel < self.shape[0]:
                raise ConfigFailure(
                    f"task.source.channels: {channel} is not among the {self.shape[0]} positions (from 0)"
                )

    def load(self, reads: Reads) -> Samples:
        """Read the table and check that every file exists; raises DataFailure naming the row without a file."""
        folder, table = require_data_path(self.path), require_data_path(self.labels_path)
        reads(table)
        frame = read_frame(table, text=[self.id])
        ids = read_ids(frame, self.id, table)
        known = self.target is not None
        targets = self._read_targets(frame, table) if known else np.full(len(ids), UNKNOWN, dtype=np.int64)
        group = (
            [name[: self.folder_characters] for name in ids] if self.group is None else self._read_groups(frame, table)
        )
        self._check_files_exist(ids, folder, table)
        samples = Samples(ids, self._make_file_inputs(folder, table, ids), targets, np.asarray(group))
        return check_samples(samples, str(table), self.classes, labelled=known)

    def _read_targets(self, frame: Any, table: Path) -> Indices:
        assert self.target is not None
        return to_class_numbers(frame[find_column(frame, self.target, table)], None, table)

    def _read_groups(self, frame: Any, table: Path) -> list[str]:
        assert self.group is not None
        return [str(value) for value in frame[find_column(frame, self.group, table)]]

    def _relative_path(self, name: str) -> str:
        return f"{name[: self.folder_characters]}/{name}.npy"

    def _check_files_exist(self, ids: Sequence[str], folder: Path, table: Path) -> None:
        """Check by listing the folders, which takes far less time than a look at every file."""
        known = {name[: self.folder_characters] for name in ids}
        folders = [folder / name for name in known if (folder / name).is_dir()]
        existing_files = {f"{subfolder.name}/{file.name}" for subfolder in folders for file in os.scandir(subfolder)}
        for row, name in enumerate(ids):
            if self._relative_path(name) not in existing_files:
                raise DataFailure(
                    f"{table}: row {row + 1} names {folder / self._relative_path(name)}, which does not exist"
                )

    def _make_file_inputs(self, folder: Path, table: Path, ids: tuple[str, ...]) -> FileInputs:
        def read_row(row: int, into: NDArray[Any]) -> None:
            self._read_cadence(folder / self._relative_path(ids[row]), f"{table}: row {row + 1}", into)

        height, width = self.size or self.shape[1:]
        rows = np.arange(len(ids), dtype=np.int64)
        return FileInputs(read_row, (len(self.channels), int(height), int(width)), _DTYPE, rows, self.num_workers)

    def _read_cadence(self, path: Path, where: str, into: NDArray[Any]) -> None:
        is_full_size = into.shape[1:] == tuple(self.shape[1:])
        pixels = into if is_full_size else np.empty((len(self.channels), *self.shape[1:]), dtype=_DTYPE)
        try:
            with path.open("rb", buffering=0) as file:
                self._read_channels(file, f"{path} ({where})", pixels)
        except OSError as error:
            raise DataFailure(f"{path} ({where}): cannot be read: {error.strerror}") from error
        if not np.isfinite(pixels).all():
            raise DataFailure(f"{path} ({where}): has a value that is infinite or not a number")
        if not is_full_size:
            into[:] = _resize(pixels, into.shape[1:])

    def _read_channels(self, file: BinaryIO, where: str, pixels: NDArray[Any]) -> None:
        self._check_header(file, where)
        data_offset, size = file.tell(), pixels[0].nbytes
        for position, channel in enumerate(self.channels):
            if os.preadv(file.fileno(), [pixels[position].reshape(-1).data], data_offset + channel * size) != size:
                raise DataFailure(f"{where}: is cut short at position {channel}")

    def _check_header(self, file: BinaryIO, where: str) -> None:
        try:
            shape, fortran, kind = read_header(file)
        except ValueError as error:
            raise DataFailure(f"{where}: is not a NumPy file: {error}") from error
        if fortran or kind != _DTYPE or tuple(shape) != tuple(self.shape):
            found = f"{count_noun(len(shape), 'axis', 'axes')} {shape} of {kind}"
            raise DataFailure(f"{where}: has {found}; task.source.shape is {list(self.shape)} of float16")


def _resize(pixels: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    import torch
    from torch.nn import functional

    images = torch.from_numpy(pixels.astype(np.float32))[None]
    scaled = functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(scaled[0].numpy().astype(_DTYPE))
