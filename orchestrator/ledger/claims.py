"""Claims: a claim is the right to run an attempt, a file that only one process can create.

Attempt N of a job begins with the exclusive creation of ``claims/ab/ID.N`` by the process that computes it. The next
attempt begins only when that process is known to be dead. Numbers may be missing, because an attempt leaves no claim if
its process died before it could create one, or withdrew it. A process gives up its attempt if it finds a claim of
another live process on the same job, under any number and in any study of the root, before or after it has created its
own claim. So at most one process goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.copy_origin import is_copy, observation_time, process_liveness
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission

RESULT_FILE = "result.json"
_RECENT_S = 900.0


def _holder_liveness(claim: Path) -> Liveness:
    """Return whether the process that holds a claim is alive.

    If this host cannot see it, its submission's worker decides.
    """
    try:
        process, submission, task = _read_claim(claim)
    except FileNotFoundError:
        # The claim was withdrawn after it was listed.
        return "dead"
    except DamagedFileError:
        return _age_liveness(claim)
    liveness = process_liveness(StudyFolder(claim.parents[2]), process)
    if liveness != "unknown":
        return liveness
    try:
        return Submission.read(claim.parents[2] / "submissions" / submission).liveness(*task)
    except FileNotFoundError:
        return "dead"
    except DamagedFileError:
        return _age_liveness(claim)


def _read_claim(claim: Path) -> tuple[ProcessIdentity, str, tuple[int, int]]:
    """Who holds a claim: a process, its submission, and its task (index, restart)."""
    with naming_damaged_file(claim, "remove it if no process runs the job"):
        record = read_record(claim, "remove it if no process runs the job")
        index, restart = record.get("task", (0, 0))
        submission = record["submission"]
        if not isinstance(submission, str) or "/" in submission:
            raise TypeError(f"submission: {submission!r:.40}")
        return ProcessIdentity.from_dict(record["process"]), submission, (int(index), int(restart))


def _age_liveness(claim: Path) -> Liveness:
    """What can be said of a claim whose holder cannot be known: a recent one may be held."""
    try:
        age_s = observation_time(StudyFolder(claim.parents[2])) - claim.stat().st_mtime
    except FileNotFoundError:
        return "dead"
    return "unknown" if age_s < _RECENT_S else "dead"


def is_claim_live(claim: Path) -> bool:
    """Whether the process that holds a claim lives, or may do so."""
    return _holder_liveness(claim) != "dead"


def _claimed_attempts(study: StudyFolder, job: str) -> Iterator[int]:
    """The numbers of all attempts that have a claim, in no particular order."""
    try:
        names = os.listdir(study.claim_file(job, 1).parent)  # noqa: PTH208
    except FileNotFoundError:
        return
    for name in names:
        claimed, _, number = name.partition(".")
        if claimed == job and number.isdecimal():
            yield int(number)


def latest_attempt_number(study: StudyFolder, job: str, minimum: int = 0) -> int:
    """Number of the latest attempt that has a claim, at least ``minimum``."""
    return max(minimum, max(_claimed_attempts(study, job), default=0))


def _has_other_live_claim(study: StudyFolder, job: str, own_claim: Path | None = None) -> bool:
    numbers = sorted(_claimed_attempts(study, job), reverse=True)
    claims = (study.claim_file(job, number) for number in numbers)
    return any(is_claim_live(path) for path in claims if path != own_claim)


def has_live_claim(study: StudyFolder, job: str) -> bool:
    """Whether any attempt at a job is running."""
    return _has_other_live_claim(study, job)


def is_published(study: StudyFolder, job: str, attempt: int) -> bool:
    """Whether the result of an attempt is published."""
    return (study.result_folder(job, attempt) / RESULT_FILE).exists()


def claim_attempt(
    root: Root, study: StudyFolder, job: str, attempt: int, submission: str, task: tuple[int, int] = (0, 0)
) -> str | None:
    """Claim an attempt for the calling process, in a ``task`` (index, restart) of a submission.

    Returns None if the claim is ours, else the reason why not. The claim of an attempt that gives up is withdrawn.
    """
    path = study.claim_file(job, attempt)
    if latest_attempt_number(study, job) >= attempt:
        return f"attempt {attempt} was begun by another process"
    if has_live_claim(study, job):
        return "an earlier attempt is still running"
    record = {"process": ProcessIdentity.current().to_dict(), "submission": submission, "task": task}
    if not create_once(path, json.dumps(record)):
        return f"attempt {attempt} was begun by another process"
    for other in root.study_folders():
        if not is_copy(other) and _has_other_live_claim(other, job, own_claim=path):
            path.unlink()
            return f"the job is running in study {other.name}"
    return None
