"""Submission attempts: ``sending.N`` is created before each, so that of two processes that try, only one goes on.

For an attempt that the scheduler refused there is also ``sending.N.refused``. After an attempt that it accepted, the
number of the array is in ``submitted.json``; if the reply was lost, the number is found later, by the array's name. A
process that got no reply writes ``sending.N.unheard``: it may live for a long time and is no longer submitting.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import RefusedError


@dataclass(frozen=True, slots=True)
class SubmissionAttempt:
    """One submission attempt: ``sending.N``, and ``sending.N.refused`` if the scheduler refused it.

    ``time`` is when it began or, if it is ``unanswered``, when the process stopped waiting for a reply. ``folder`` is
    the submission's folder at that time, which is the one that the scheduler knows; ``user`` is the number of the user
    who submitted.
    """

    number: int
    process: ProcessIdentity
    time: float
    refused: bool
    unanswered: bool
    folder: str | None
    user: int | None

    def may_be_submitting(self) -> bool:
        """Whether a process may still be submitting, as far as this host can see."""
        return not self.unanswered and self.process.liveness() == "alive"


def last_attempt(submission: Submission) -> SubmissionAttempt | None:
    """The latest attempt; None if there was none."""
    files = {path.name: path for path in submission.folder.glob("sending.*")}
    number = max((int(name.split(".")[1]) for name in files), default=None)
    if number is None:
        return None
    record = json.loads(files[f"sending.{number}"].read_text())
    unanswered = files.get(f"sending.{number}.unheard")
    return SubmissionAttempt(
        number,
        ProcessIdentity.from_dict(record["process"]),
        record["time"] if unanswered is None else unanswered.stat().st_mtime,
        f"sending.{number}.refused" in files,
        unanswered is not None,
        record.get("folder"),
        record.get("user"),
    )


def was_attempted(submission: Submission) -> bool:
    """Whether there was an attempt to submit."""
    return last_attempt(submission) is not None


def orphaned_folder(submission: Submission) -> str | None:
    """The former folder of a submission that was moved after a scheduler accepted it; None if it was not moved.

    After a root was moved or copied, queued tasks still look for the old folder.
    """
    attempt = last_attempt(submission)
    if attempt is None or attempt.refused or attempt.folder in {None, str(submission.folder)}:
        return None
    assert attempt.folder is not None
    try:
        is_same_folder = Path(attempt.folder).samefile(submission.folder)
    except OSError:
        is_same_folder = False
    return None if is_same_folder else attempt.folder


def begin_attempt(submission: Submission) -> int | None:
    """Record that this process is about to submit; return None if another process has recorded that meanwhile."""
    last = last_attempt(submission)
    number = 1 if last is None else last.number + 1
    process = ProcessIdentity.current().to_dict()
    record = {"process": process, "time": time.time(), "folder": str(submission.folder), "user": os.getuid()}
    return number if create_once(submission.folder / f"sending.{number}", json.dumps(record)) else None


def record_refusal(submission: Submission, attempt_number: int, error: RefusedError) -> None:
    """Record that the scheduler refused it. Unless the queue was full, the submission is not tried again."""
    create_once(submission.folder / f"sending.{attempt_number}.refused", str(error))
    if not error.queue_full:
        submission.mark_unsubmittable(str(error))


def record_unanswered(submission: Submission, attempt_number: int) -> None:
    """Record that the process no longer waits for the scheduler's reply."""
    create_once(submission.folder / f"sending.{attempt_number}.unheard", "")


def record_array_id(submission: Submission, array_id: str) -> None:
    """Record the scheduler's number of an array, once."""
    create_once(submission.folder / "submitted.json", json.dumps({"scheduler_id": array_id}))


def submitted_at(submission: Submission) -> float:
    """The time at which the number of a submission was recorded, in seconds since the epoch."""
    return (submission.folder / "submitted.json").stat().st_mtime
