"""Writes that are whole or not at all, on local and network file systems.

A file has one writer. It is either replaced by rename, created once by an exclusive link, or only appended to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seedfold.results.whole import replacing, sync


def write_whole(path: Path, chunks: Iterable[str]) -> None:
    """Write or replace ``path``: a reader sees the old text or the new one, never a part."""
    with replacing(path) as beside, beside.open("x", encoding="utf-8") as file:
        file.writelines(chunks)


def create_once(path: Path, text: str) -> bool:
    """Create ``path`` with ``text``; return False, changing nothing, if it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    beside.write_text(text, encoding="utf-8")
    sync(beside)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync(path.parent)
    return True


def to_line(record: Mapping[str, Any]) -> str:
    """Return the record as one line of JSON, with its end of line."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


class Appender:
    """Appends JSON lines to a file that only this object writes. Each line is one write, synced to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def append(self, *records: Mapping[str, Any]) -> None:
        """Append the records; when this returns they are on disk."""
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            sync(self._path.parent)
        data = "".join(map(to_line, records)).encode()
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file, if anything was appended."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
