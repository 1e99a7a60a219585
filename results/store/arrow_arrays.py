"""Arrow arrays of numbers and texts, made and read without pandas.

`pyarrow.array` and `to_numpy` import pandas, for the case that a Series comes or goes. That takes 0.4 s, which each
worker whose jobs write predictions would pay. These functions hand over the memory as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def number_array(values: npt.NDArray[Any], known: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return values (n,) as an array of their type, null where ``known`` (n,) is false."""
    memory = pa.py_buffer(np.ascontiguousarray(values))
    validity = None if known is None or known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [validity, memory])


def text_array(texts: Sequence[str]) -> pa.Array:
    """Return texts as an array of strings. Raises UnicodeEncodeError for half of a surrogate pair."""
    joined = "".join(texts)
    # A character of ASCII is a byte; else each text has to be encoded to know its length.
    lengths = map(len, texts) if joined.isascii() else (len(text.encode()) for text in texts)
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(lengths, dtype=np.int64, count=len(texts)), out=ends[1:])
    if ends[-1] > np.iinfo(np.int32).max:
        raise OverflowError(f"texts of {ends[-1]} bytes, which an Arrow array of strings cannot hold")
    memory = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(joined.encode())]
    return pa.Array.from_buffers(pa.string(), len(texts), memory)


def read_numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of numbers (n,), with 0 in place of each null."""
    numbers = column.combine_chunks()
    if numbers.null_count:
        numbers = numbers.fill_null(number_array(np.zeros(1, dtype=numbers.type.to_pandas_dtype()))[0])
    return np.from_dlpack(numbers)


def read_known(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) of a column are not null."""
    return np.from_dlpack(column.combine_chunks().is_valid().cast(pa.uint8())).astype(bool)
