"""What a worker waits for while it has no slot for any of its jobs: one line in a file of its submission's folder."""

from __future__ import annotations

from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import write_atomically

_FILE_NAME = "waits"


def record_wait(submission_folder: Path, text: str) -> None:
    """Record what the worker of the submission in this folder waits for; an empty text if it no longer waits."""
    if text:
        write_atomically(submission_folder / _FILE_NAME, [text])
    else:
        (submission_folder / _FILE_NAME).unlink(missing_ok=True)


def read_wait(submission_folder: Path) -> str:
    """The last recorded text, which is valid as long as the worker is alive; an empty text if it does not wait."""
    try:
        return (submission_folder / _FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
