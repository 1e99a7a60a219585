"""Reads NumPy files in several threads at the same time.

The header of such a file is a Python literal, and Python 3.11 may fail with a SystemError where two threads parse one
(python/cpython issue 106905): here only one thread at a time reads a header, while the numbers are read in parallel.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_PARSING = threading.Lock()


class Header(NamedTuple):
    """The header of a file: the type, order and shape of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(file: BinaryIO) -> Header:
    """Read the header of a file, up to the first number. Raises ValueError for a file that is not a NumPy file."""
    with _PARSING:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    return Header(tuple(shape), bool(fortran), dtype)


def inspect_array(path: Path) -> Header:
    """Read the header of a whole file. Raises ValueError as `read_array` does, without reading the numbers."""
    with path.open("rb") as file:
        return _checked_header(file)


def read_array(path: Path) -> NDArray[Any]:
    """Read a whole array. Raises ValueError if it is not a NumPy file, is cut short or holds Python objects."""
    with path.open("rb") as file:
        shape, fortran, dtype = _checked_header(file)
        values = np.fromfile(file, dtype=dtype, count=_count(shape))
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _checked_header(file: BinaryIO) -> Header:
    header = read_header(file)
    if header.dtype.hasobject:
        raise ValueError("it holds Python objects")
    there = (os.fstat(file.fileno()).st_size - file.tell()) // max(1, header.dtype.itemsize)
    if there < _count(header.shape):
        raise ValueError(f"it is cut short: it holds {there} of {_count(header.shape)} numbers")
    return header


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
