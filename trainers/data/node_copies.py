"""Copies of large published files on the disk of this machine, for jobs that would read them over the network again.

All jobs of a user on the machine share one copy: the first makes it, the others wait for that. A copy has the SHA-256
of its content for its name, so that one with other content is another file.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
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
    folder = Path(scratch) / f"seedfold-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder / f"{record['sha256']}.lock"):
            return _find_or_make(file, record, folder)
    except OSError as error:
        _log.warning("%s is read where it is, and not copied below paths.scratch: %s", file, error)
        return file


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _find_or_make(file: Path, record: FileRecord, folder: Path) -> Path:
    copy = folder / f"{record['sha256']}{file.suffix}"
    if not copy.is_file() or copy.stat().st_size != record["bytes"]:
        _remove_old(folder)
        _copy_checked(file, copy, record)
    os.utime(copy)
    return copy


def _copy_checked(file: Path, copy: Path, record: FileRecord) -> None:
    """Copy a file. What it holds is compared with what was published, from the disk's own copy."""
    free = shutil.disk_usage(copy.parent).free
    if free < record["bytes"]:
        raise OSError(f"{copy.parent} has {free} free bytes, and {record['bytes']} are needed")
    with replace_file(copy) as temporary:
        shutil.copyfile(file, temporary)
        if _sha256(temporary) != record["sha256"]:
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
