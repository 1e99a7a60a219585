"""Errors of a file system that may pass: what failed is tried again, with growing pauses, for a minute in all.

A server that restarts, or a network that stumbles, makes a call fail that succeeds a moment later. A full disk does not
pass so soon: who meets one decides whether to wait.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""No space, no quota, or a file system that is read-only."""
PASSING_ERRNOS = frozenset({errno.EIO, errno.ESTALE, errno.EINTR, errno.EREMOTEIO, errno.ETIMEDOUT})
PATIENCE_S = 60.0
"""How long is waited in all, less than a worker may be silent."""
_FIRST_PAUSE_S = 0.05


class _Patience:
    """How long this process still waits for errors to pass.

    It waits once, not once for each of many files that it cannot read: until a call that had failed succeeds.
    """

    def __init__(self) -> None:
        self.left_s = PATIENCE_S

    def pause(self, pause_s: float) -> None:
        pause_s = min(pause_s, self.left_s)
        self.left_s -= pause_s
        time.sleep(pause_s)


_patience = _Patience()


def restore_patience() -> None:
    """Wait for a whole minute again, since the file system works again."""
    _patience.left_s = PATIENCE_S


def try_again(action: Callable[[], T], path: Path | str) -> T:
    """Call ``action``, which reads or writes ``path``, until no passing error comes; return what it returns.

    It must be one that may be called again although it was carried out. Raises the last OSError, with a name of a file.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            result = action()
        except OSError as error:
            if error.filename is None and error.errno is not None:
                error.filename = os.fspath(path)
            if error.errno not in PASSING_ERRNOS or _patience.left_s <= 0:
                raise
        else:
            if pause_s > _FIRST_PAUSE_S:
                restore_patience()
            return result
        _patience.pause(pause_s)
        pause_s *= 2


def exists(path: Path) -> bool:
    """Whether there is a file or folder. Raises OSError if the file system does not say, in all that time."""
    return try_again(path.exists, path)


def find_files(folder: Path, pattern: str) -> list[Path]:
    """Return what is in a folder, and matches; nothing where the folder is missing.

    Raises OSError if the file system does not say, in all that time.
    """
    return try_again(lambda: list(folder.glob(pattern)), folder)


def storage_error(error: BaseException) -> OSError | None:
    """Return the error of a file system that is full or away, in the chain of causes of an error; None if none is."""
    current: BaseException | None = error
    seen: list[BaseException] = []
    while current is not None and current not in seen:
        if isinstance(current, OSError) and current.errno in FULL_DISK_ERRNOS | PASSING_ERRNOS:
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return None
