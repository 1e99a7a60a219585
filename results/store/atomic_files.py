"""Replace a file whole: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seedfold.results.store.passing_errors import try_again

_NO_SYNC_ERRNOS = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}


def fsync_path(path: Path) -> None:
    """Wait until a file or a folder is on disk.

    It is no error if the file system, as some over SMB or FUSE, has no such call for folders.
    """
    if try_again(path.is_dir, path):
        try_again(lambda: _fsync_folder(path), path)
        return
    # After an error the kernel takes the file for written, so that a second call would say that all is well.
    handle = try_again(lambda: os.open(path, os.O_RDONLY), path)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fsync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC_ERRNOS:
            raise
    finally:
        os.close(handle)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a new name beside ``path`` to write to; it takes the place of ``path`` when the block ends well."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        yield temporary
        fsync_path(temporary)
        move(temporary, path)
        fsync_path(path.parent)
    finally:
        remove_temporary(temporary)


def make_folder(path: Path) -> None:
    """Make a folder, unless it exists."""
    try_again(lambda: path.mkdir(parents=True, exist_ok=True), path)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder that only this process knows, replacing ``target`` as `os.rename` does."""
    failed = False

    def rename() -> None:
        nonlocal failed
        try:
            source.rename(target)
        except FileNotFoundError:
            # The first call was carried out, although it failed.
            if not (failed and target.exists()):
                raise
        except OSError:
            failed = True
            raise

    try_again(rename, target)


def remove_temporary(path: Path) -> None:
    """Remove a file of this process, if it is there. What cannot be removed stays: all that counts is done."""
    with suppress(OSError):
        try_again(lambda: path.unlink(missing_ok=True), path)
