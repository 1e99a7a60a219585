"""What a worker waits for that has no place for any of its jobs: a line beside its submission, while that is so."""

from __future__ import annotations

from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import write_atomically

_FILE_NAME = "waits"


def record_wait(submission_folder: Path, text: str) -> None:
    """Say what the worker of the submission in this folder waits for; an empty text for nothing any more."""
    if text:
        write_atomically(submission_folder / _FILE_NAME, [text])
    else:
        (submission_folder / _FILE_NAME).unlink(missing_ok=True)


def read_wait(submission_folder: Path) -> str:
    """What was said last, which holds as long as the worker lives; an empty text for nothing."""
    try:
        return (submission_folder / _FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
