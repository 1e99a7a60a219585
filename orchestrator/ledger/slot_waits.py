"""What a worker waits for: one line, or an empty file, in the folder of its submission.

While it has no slot for any of its jobs, it writes who holds the slots. While the disk is full it cannot write a line.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import StudyFolder

FULL_DISK = "waits for room: the disk of the root is full, or its quota is used up"
_FILE_NAME = "waits"
_NOW_MARK = "now"
_FULL_MARK = "full"
_FULL_MARK_VALID_S = 120.0


def record_wait(submission_folder: Path, text: str) -> None:
    """Record what the worker of the submission in this folder waits for; an empty text if it no longer waits."""
    if text:
        write_atomically(submission_folder / _FILE_NAME, [text])
    else:
        (submission_folder / _FILE_NAME).unlink(missing_ok=True)


def request_start_now(submission_folder: Path) -> None:
    """Tell the worker of a submission not to wait for slots that the workers of other studies hold."""
    (submission_folder / _NOW_MARK).touch()


def must_start_now(submission_folder: Path) -> bool:
    """Whether the worker of a submission was told so."""
    return (submission_folder / _NOW_MARK).exists()


def record_full_disk(submission_folder: Path, is_full: bool) -> None:
    """Record that a worker waits for room, again and again while it does; or that it no longer does."""
    mark = submission_folder / _FULL_MARK
    # On a file system that is read-only, or has no room for a name, nobody can say anything.
    with suppress(OSError):
        if is_full:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)


def waits_for_room(submission_folder: Path) -> bool:
    """Whether a worker of a submission waits because the disk of the root is full."""
    try:
        recorded_at = (submission_folder / _FULL_MARK).stat().st_mtime
    except FileNotFoundError:
        return False
    return file_system_time(StudyFolder(submission_folder.parents[1])) - recorded_at < _FULL_MARK_VALID_S


def read_wait(submission_folder: Path) -> str:
    """What the worker waits for, which is valid as long as it is alive; an empty text if it does not wait."""
    if waits_for_room(submission_folder):
        return FULL_DISK
    try:
        return (submission_folder / _FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
