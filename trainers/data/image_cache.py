"""A cache of decoded images: ``images.npy``, uint8 (n, channels, height, width), and ``index.parquet``, one row each.

People can map the file with NumPy (``np.load(path, mmap_mode="r")``). Jobs read it by position instead: the cache does
not count as memory of the job, however large it is, and if the file system fails, reading raises an error, while a
mapping would kill the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.npy_files import read_header
from seedfold.trainers.data.samples import Indices

IMAGES, INDEX = "images.npy", "index.parquet"
ImagesShape = tuple[int, ...]


def npy_header(shape: ImagesShape) -> bytes:
    """Return the header of ``images.npy``."""
    import io

    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _read_header(file: BinaryIO, path: Path) -> ImagesShape:
    try:
        shape, fortran, kind = read_header(file)
    except ValueError as error:
        raise DataFailure(f"{path}: is not a cache of images: {error}") from error
    if fortran or kind != np.uint8 or len(shape) != 4:
        raise DataFailure(f"{path}: is not a cache of images: {kind} {shape}")
    return shape


class CachedImages:
    """Images of a cache, which are read when they are gathered; ``rows`` chooses some, in that order."""

    def __init__(self, path: Path, rows: Indices | None = None) -> None:
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
            shape = _read_header(self._file, path)
            self._data_offset = self._file.tell()
            size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise DataFailure(f"{path}: cannot be read: {error}") from error
        self.image_shape = shape[1:]
        self.sample_bytes = int(np.prod(self.image_shape, dtype=np.int64))
        if size != self._data_offset + shape[0] * self.sample_bytes:
            raise DataFailure(f"{path}: has {size} bytes, which is not {shape[0]} images; run the stage that wrote it")
        self._rows = np.arange(shape[0], dtype=np.int64) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: Indices | slice) -> CachedImages:
        """Return the images at these positions, still unread."""
        return CachedImages(self._path, self._rows[positions])

    def gather(self, positions: Indices | slice) -> NDArray[np.uint8]:
        """Read the images at these positions; raises DataFailure if the file fails."""
        rows = self._rows[positions]
        images = np.empty((len(rows), *self.image_shape), dtype=np.uint8)
        for position in np.argsort(rows, kind="stable").tolist():
            self._read_image(int(rows[position]), images[position])
        return images

    def _read_image(self, row: int, into: NDArray[np.uint8]) -> None:
        try:
            count = os.preadv(self._file.fileno(), [into.reshape(-1).data], self._data_offset + row * self.sample_bytes)
        except OSError as error:
            raise DataFailure(f"{self._path}: image {row} cannot be read: {error}") from error
        if count != self.sample_bytes:
            raise DataFailure(f"{self._path}: is cut short at image {row}; run the stage that wrote it again")
