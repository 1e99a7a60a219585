"""Write to the file that a person named, whatever it is: a file, a device, a pipe, or a stream of this process."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from seedfold.jobs.errors import UsageError
from seedfold.results.store.atomic_files import replace_file

_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_STREAM_NUMBER = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_WRONG_NAME = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EBADF}
"""What the system says when the name is at fault, and not the disk or the permissions."""


def refuse_folder(option: str, path: Path) -> None:
    """Raise UsageError if the value of an option, which is to be a file, is a folder."""
    if _is_of_kind(path, stat.S_ISDIR):
        raise UsageError(f"{option} {path}: is a folder; name a file")


def refuse_existing(path: Path) -> None:
    """Raise UsageError if there is something of this name that a new file would replace or be written into."""
    if os.path.lexists(path):
        kind = "is a folder" if path.is_dir() else "is a device" if is_stream(path) else "exists already"
        raise UsageError(f"{path}: {kind}; name a new file")


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or a stream of this process, which are written to and not replaced."""
    return _stream_number(path) is not None or _is_of_kind(path, lambda mode: not stat.S_ISREG(mode))


def _is_of_kind(path: Path, matches: Callable[[int], bool]) -> bool:
    """Whether the mode of a file matches; not if there is no such file, or can be none."""
    try:
        return matches(path.stat().st_mode)
    except OSError:
        return False


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to. What was written goes to ``path`` when the block ends well.

    A regular file is replaced whole, also where ``path`` is a link to it. Raises UsageError if ``path`` can be no file.
    """
    try:
        if is_stream(path):
            buffer = io.BytesIO()
            yield buffer
            _write_through(path, buffer.getbuffer())
        else:
            with replace_file(path.resolve()) as temporary, temporary.open("xb") as file:
                yield file
    except OSError as error:
        if error.errno in _WRONG_NAME:
            raise UsageError(f"{path}: cannot be written: {error.strerror}; name another file") from error
        raise


def _write_through(path: Path, data: memoryview) -> None:
    number = _stream_number(path)
    # What was printed before comes first.
    sys.stdout.flush()
    try:
        # Opened by its name, a file to which the shell sends our output would be written from its beginning.
        with os.fdopen(os.dup(number), "wb") if number is not None else path.open("wb") as file:
            file.write(data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _stream_number(path: Path) -> int | None:
    found = _STREAM_NUMBER.fullmatch(str(path))
    return int(found[1]) if found else _STREAMS.get(str(path))
