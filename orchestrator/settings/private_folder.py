"""The folder in this machine's temporary folder that belongs to one user alone.

Everybody may write to the temporary folder, and the name of our folder in it can be guessed. So somebody else may have
made it, with links in it to files of ours.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from seedfold.jobs.errors import UsageError

_OTHERS = 0o077


def private_folder(name: str) -> Path:
    """Return the folder ``name`` in this user's own temporary folder, which only this user can enter; create both.

    Raises UsageError if either of them is not a folder of this user.
    """
    import tempfile

    own = Path(tempfile.gettempdir()) / f"seedfold-{os.getuid()}"
    _make_private(own)
    _make_private(own / name)
    return own / name


def open_private_file(path: Path) -> int:
    """Open, or create, a file in such a folder for reading and writing. Raises UsageError if it is not this user's."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise _refusal(path, "cannot be opened") from error
    status = os.fstat(handle)
    # A second name of the file could be anywhere.
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_nlink != 1:
        os.close(handle)
        raise _refusal(path, "is not a file of yours alone")
    return handle


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(folder, "is not a folder of yours") from error
    try:
        status = os.fstat(handle)
        if status.st_uid != os.getuid():
            raise _refusal(folder, "belongs to another user")
        if status.st_mode & _OTHERS:
            os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _refusal(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path}: {reason}; remove it, or set TMPDIR to a folder of your own")
