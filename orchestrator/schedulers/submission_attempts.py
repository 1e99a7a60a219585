"""Tries to send a submission: ``sending.N`` is on disk before each, so that of two who try one goes on.

A try that the scheduler refused has ``sending.N.refused`` beside it. One that it took ends with its number in
``submitted.json``; where the answer was lost, the number is found later, by the array's name. Whoever waited for it in
vain leaves ``sending.N.unheard``: it may live on for long, and is not sending any more.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import RefusedError


@dataclass(frozen=True, slots=True)
class SubmissionAttempt:
    """One try to send a submission: ``sending.N``, and ``sending.N.refused`` if the scheduler said no.

    ``time`` is when it began, or when nobody waited for its answer any more, if that was ``unanswered``. ``folder`` is
    where the submission lay then, which is what the scheduler knows.
    """

    number: int
    process: ProcessIdentity
    time: float
    refused: bool
    unanswered: bool
    folder: str | None

    def may_be_submitting(self) -> bool:
        """Whether somebody may still be sending, as far as can be told."""
        return not self.unanswered and self.process.liveness() == "alive"


def last_attempt(submission: Submission) -> SubmissionAttempt | None:
    """The latest try; None if there was none."""
    files = {path.name: path for path in submission.folder.glob("sending.*")}
    number = max((int(name.split(".")[1]) for name in files), default=None)
    if number is None:
        return None
    record = json.loads(files[f"sending.{number}"].read_text())
    unanswered = files.get(f"sending.{number}.unheard")
    return SubmissionAttempt(
        number,
        ProcessIdentity(**record["process"]),
        record["time"] if unanswered is None else unanswered.stat().st_mtime,
        f"sending.{number}.refused" in files,
        unanswered is not None,
        record.get("folder"),
    )


def was_attempted(submission: Submission) -> bool:
    """Whether anybody has tried to send a submission."""
    return last_attempt(submission) is not None


def orphaned_folder(submission: Submission) -> str | None:
    """Where a submission lay when a scheduler took it, if that is not its folder any more; None if it still is.

    A root that was moved, or copied with its queue, knows of tasks that look for another one.
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
    """Say that this process is about to send a submission; None if somebody else has said so meanwhile."""
    last = last_attempt(submission)
    number = 1 if last is None else last.number + 1
    process = ProcessIdentity.current().to_dict()
    record = {"process": process, "time": time.time(), "folder": str(submission.folder)}
    return number if create_once(submission.folder / f"sending.{number}", json.dumps(record)) else None


def record_refusal(submission: Submission, attempt_number: int, error: RefusedError) -> None:
    """Note that the scheduler said no; unless its queue was only full, it will say so again."""
    create_once(submission.folder / f"sending.{attempt_number}.refused", str(error))
    if not error.queue_full:
        submission.mark_unsubmittable(str(error))


def record_unanswered(submission: Submission, attempt_number: int) -> None:
    """Note that nobody waits for the scheduler's answer any more."""
    create_once(submission.folder / f"sending.{attempt_number}.unheard", "")


def record_array_id(submission: Submission, array_id: str) -> None:
    """Put the scheduler's number of an array on disk, once."""
    create_once(submission.folder / "submitted.json", json.dumps({"scheduler_id": array_id}))


def submitted_at(submission: Submission) -> float:
    """When the number of a submission was noted, in seconds since the epoch."""
    return (submission.folder / "submitted.json").stat().st_mtime
