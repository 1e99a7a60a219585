"""Files on the disk of this machine that its jobs share: copies of published files, and what is made for all of them.

All jobs of a user on the machine share one file: the first makes it, the others wait for that. Its name is a SHA-256 of
its content, or of what decides that, so that one with other content is another file.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seedfold.jobs.work import DataFailure
from seedfold.results.store.atomic_files import replace_file
from seedfold.results.store.published import FileRecord, load_result

KEPT_S = 14 * 24 * 3600.0
"""Copies that no job has used for so long are removed by the next job that makes one."""
_BLOCK_BYTES = 16 * 1024**2
_log = logging.getLogger(__name__)


def copy_to_node(file: Path, scratch: str | None) -> Path:
    """Return the copy below ``scratch`` of a file that a job has published; the file itself without ``scratch``.

    The file itself as well, with a line in the log, if the folder cannot be used or has no room. Raises DataFailure if
    the file is not what the job has published.
    """
    if not scratch:
        return file
    record = load_result(file.parent).files[file.name]
    try:
        return node_copy(scratch, record["sha256"], file.suffix, record["bytes"], lambda new: _copy(file, new, record))
    except OSError as error:
        _log.warning("%s is read where it is, and not copied below paths.scratch: %s", file, error)
        return file


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def node_copy(scratch: str, name: str, suffix: str, size: int, make: Callable[[Path], None]) -> Path:
    """Return the file of this name and of ``size`` bytes below ``scratch``; ``make`` writes it if it is not there.

    Raises OSError if the folder cannot be used or has no room, and as ``make`` does.
    """
    folder = Path(scratch) / f"seedfold-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock"):
        copy = folder / f"{name}{suffix}"
        if not copy.is_file() or copy.stat().st_size != size:
            _remove_old(folder)
            free = shutil.disk_usage(folder).free
            if free < size:
                raise OSError(f"{folder} has {free} free bytes, and {size} are needed")
            with replace_file(copy) as temporary:
                make(temporary)
        os.utime(copy)
        return copy


def _copy(file: Path, copy: Path, record: FileRecord) -> None:
    """Copy a file. What it holds is compared with what was published, from the disk's own copy."""
    shutil.copyfile(file, copy)
    if _sha256(copy) != record["sha256"]:
        raise DataFailure(f"{file}: its content is not what its job has published; run that job again")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _remove_old(folder: Path) -> None:
    """Remove copies that nobody has used for long. A job that still has one open goes on reading it."""
    for copy in folder.iterdir():
        with suppress(FileNotFoundError):
            if copy.suffix != ".lock" and copy.stat().st_mtime < time.time() - KEPT_S:
                copy.unlink()
