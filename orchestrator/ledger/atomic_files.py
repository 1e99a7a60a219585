"""Writes that are whole or not at all, on local and network file systems.

Each file has one writer. The file is either replaced by rename, or created once by an exclusive link, or only appended
to. Errors that may pass are waited for (`seedfold.results.store.passing_errors`).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seedfold.results.store.atomic_files import fsync_path, make_folder, move, remove_temporary, replace_file
from seedfold.results.store.passing_errors import try_again

NO_LINK_ERRNOS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})
"""What a file system says that has no hard links, such as exFAT and some of those over SMB or FUSE."""


def write_atomically(path: Path, chunks: Iterable[str]) -> None:
    """Write or replace ``path``: a reader sees the old text or the new one, never a part."""
    texts = list(chunks)

    def write() -> None:
        with replace_file(path) as temporary, temporary.open("x", encoding="utf-8") as file:
            file.writelines(texts)

    try_again(write, path)


def create_once(path: Path, text: str) -> bool:
    """Create ``path`` with ``text``; return False, changing nothing, if it is there already."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        try_again(lambda: _write_and_sync(temporary, text), path)
        created = try_again(lambda: _link(temporary, path), path)
    finally:
        remove_temporary(temporary)
    if created:
        fsync_path(path.parent)
    return created


def _write_and_sync(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    fsync_path(path)


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system repeats a request whose reply was lost, and then reports the link that it has just made.
        # So does a second try.
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in NO_LINK_ERRNOS:
            raise
        return _take_name(temporary, path)
    return True


def _take_name(temporary: Path, path: Path) -> bool:
    """Create ``path`` where there are no hard links: empty at first, by a call that only one process can make."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return False
    try:
        move(temporary, path)
    except OSError:
        remove_temporary(path)
        raise
    return True


def to_json_line(record: Mapping[str, Any]) -> str:
    """Return the record as one line of JSON, with the newline."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


class JsonLinesAppender:
    """Appends JSON lines to a file that only this object writes. Each line is one write, synced to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._size: int | None = None
        """Bytes of the file that were written well; None before there is a file."""

    def append(self, *records: Mapping[str, Any]) -> None:
        """Append the records; when this returns they are on disk."""
        # What UTF-8 cannot encode is written as a JSON escape.
        data = "".join(map(to_json_line, records)).encode(errors="backslashreplace")
        if self._size is None:
            make_folder(self._path.parent)
        try_again(lambda: self._write(data), self._path)

    def _write(self, data: bytes) -> None:
        handle = self._open()
        assert self._size is not None
        try:
            _write_all(handle, data)
            os.fsync(handle)
        except OSError:
            # If the disk is full, half a line may have been written. It would damage the next line.
            with suppress(OSError):
                os.ftruncate(handle, self._size)
            # A handle may be stale for good.
            self.close()
            raise
        self._size += len(data)

    def _open(self) -> int:
        """The handle of the file, created if there is none yet, without what a call that failed has left."""
        if self._handle is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | (os.O_EXCL if self._size is None else 0)
            try:
                self._handle = os.open(self._path, flags, 0o644)
            except FileExistsError:
                raise
            except OSError:
                # The call may have been carried out all the same.
                self._size = self._size or 0
                raise
            if not self._size:
                self._size = 0
                fsync_path(self._path.parent)
            os.ftruncate(self._handle, self._size)
        return self._handle

    def close(self) -> None:
        """Close the file, if anything was appended."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with suppress(OSError):
                os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
