"""Inputs that are read one by one when a batch needs them, several at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedfold.trainers.data.samples import Indices

ReadRow = Callable[[int, NDArray[Any]], None]
"""A function that reads the input of a row (from 0) into an array of its shape; threads call it. Raises DataFailure."""


@dataclass(frozen=True)
class FileInputs:
    """The inputs of ``rows``, in that order, each of ``shape`` and ``dtype``, read by ``threads`` threads.

    ``identity``, of all inputs in the order of their source, returns a digest of what decides their content.
    """

    read: ReadRow
    shape: tuple[int, ...]
    dtype: DTypeLike
    rows: Indices
    threads: int = 1
    identity: Callable[[], str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def sample_bytes(self) -> int:
        """Return the memory of one input, in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def __getitem__(self, positions: Indices | slice) -> FileInputs:
        """Return the inputs at these positions, still unread."""
        return FileInputs(self.read, self.shape, self.dtype, self.rows[positions], self.threads)

    def gather(self, positions: Indices | slice) -> NDArray[Any]:
        """Read the inputs at these positions; raises the DataFailure of the first that fails."""
        rows = self.rows[positions].tolist()
        inputs = np.empty((len(rows), *self.shape), dtype=self.dtype)
        if self.threads == 1 or len(rows) < 2:
            for position, row in enumerate(rows):
                self.read(row, inputs[position])
            return inputs
        with ThreadPoolExecutor(min(self.threads, len(rows)), thread_name_prefix="read") as readers:
            for _ in readers.map(self.read, rows, inputs):
                pass
        return inputs
