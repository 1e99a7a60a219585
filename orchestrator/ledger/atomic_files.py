"""Writes that are whole or not at all, on local and network file systems.

Each file has one writer. The file is either replaced by rename, or created once by an exclusive link, or only appended
to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seedfold.results.store.atomic_files import fsync_path, replace_file


def write_atomically(path: Path, chunks: Iterable[str]) -> None:
    """Write or replace ``path``: a reader sees the old text or the new one, never a part."""
    with replace_file(path) as temporary, temporary.open("x", encoding="utf-8") as file:
        file.writelines(chunks)


def create_once(path: Path, text: str) -> bool:
    """Create ``path`` with ``text``; return False, changing nothing, if it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        fsync_path(temporary)
        os.link(temporary, path)
    except FileExistsError:
        # A network file system repeats a request whose reply was lost, and then reports the link that it has just made.
        return temporary.stat().st_nlink > 1
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)
    return True


def to_json_line(record: Mapping[str, Any]) -> str:
    """Return the record as one line of JSON, with the newline."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


class JsonLinesAppender:
    """Appends JSON lines to a file that only this object writes. Each line is one write, synced to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def append(self, *records: Mapping[str, Any]) -> None:
        """Append the records; when this returns they are on disk."""
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            fsync_path(self._path.parent)
        # What UTF-8 cannot encode is written as a JSON escape.
        self._write("".join(map(to_json_line, records)).encode(errors="backslashreplace"))
        os.fsync(self._handle)

    def _write(self, data: bytes) -> None:
        assert self._handle is not None
        size = os.fstat(self._handle).st_size
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError:
            # If the disk is full, half a line may have been written. It would damage the next line.
            os.ftruncate(self._handle, size)
            raise

    def close(self) -> None:
        """Close the file, if anything was appended."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
