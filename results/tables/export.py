"""Tables as files: CSV, JSON (a list of records) or Parquet, each written whole. Numbers keep every digit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, get_args

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.store.named_output import open_output

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_CHUNK = 10_000


def export(frame: pd.DataFrame, format: str, out: Path | None = None) -> bytes | None:
    """Write a table to ``out``, replacing the file that was there; or return its bytes if there is no ``out``.

    Nulls are empty in CSV and ``null`` in JSON. Raises UsageError for an unknown format.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r}: unknown{did_you_mean(format, FORMATS)}; known: {', '.join(FORMATS)}")
    if out is None:
        buffer = io.BytesIO()
        _write(frame, format, buffer)
        return buffer.getvalue()
    with open_output(out) as file:
        _write(frame, format, file)
    return None


def _write(frame: pd.DataFrame, format: str, file: IO[bytes]) -> None:
    if format == "parquet":
        frame.to_parquet(file, index=False, compression="zstd")
    elif format == "csv":
        frame.to_csv(file, index=False)
    else:
        file.writelines(_json_lines(frame))


def _json_lines(frame: pd.DataFrame) -> Iterator[bytes]:
    separator = "[\n"
    for start in range(0, len(frame), _CHUNK):
        chunk = frame.iloc[start : start + _CHUNK].astype(object)
        for record in chunk.where(chunk.notna(), None).to_dict("records"):
            yield (separator + json.dumps(record, ensure_ascii=False)).encode()
            separator = ",\n"
    yield b"\n]\n" if len(frame) else b"[]\n"
