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
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.copy_origin import is_copy, observation_time, process_liveness
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.past_caches import can_open, longest_cache_s, look_past_caches
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_records import TaskRecords
from seedfold.results.store.atomic_files import remove_temporary
from seedfold.results.store.passing_errors import exists, try_again
from seedfold.results.store.published import RESULT_FILE, find_damage

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
        age_s = observation_time(StudyFolder(claim.parents[2])) - try_again(claim.stat, claim).st_mtime
    except FileNotFoundError:
        return "dead"
    return "unknown" if age_s < _RECENT_S else "dead"


def is_claim_live(claim: Path) -> bool:
    """Whether the process that holds a claim lives, or may do so."""
    return _holder_liveness(claim) != "dead"


def is_holder_gone(claim: Path) -> bool:
    """Whether the process that holds a claim has ended for sure. One that is only silent may come back."""
    study = StudyFolder(claim.parents[2])
    try:
        process, submission, (index, restart) = _read_claim(claim)
    except FileNotFoundError:
        return True
    except DamagedFileError:
        return False
    liveness = process_liveness(study, process)
    if liveness != "unknown":
        return liveness == "dead"
    record = TaskRecords(study.submissions_folder / submission).record_of(index)
    return record.is_over or record.last_start > restart


def may_be_written(staging: Path) -> bool:
    """Whether a staging folder, ``jobs/ab/ID/staging.N``, is that of an attempt that may be alive."""
    number = staging.suffix[1:]
    if not number.isdecimal():
        return False
    return not is_holder_gone(StudyFolder(staging.parents[3]).claim_file(staging.parent.name, int(number)))


def _claimed_attempts(study: StudyFolder, job: str) -> Iterator[int]:
    """The numbers of all attempts that have a claim, in no particular order."""
    try:
        folder = study.claim_file(job, 1).parent
        names = try_again(lambda: os.listdir(folder), folder)  # noqa: PTH208
    except FileNotFoundError:
        return
    for name in names:
        claimed, _, number = name.partition(".")
        if claimed == job and number.isdecimal():
            yield int(number)


def latest_attempt_number(study: StudyFolder, job: str, minimum: int = 0) -> int:
    """Number of the latest attempt that has a claim, at least ``minimum``."""
    return max(minimum, max(_claimed_attempts(study, job), default=0))


def _claims(study: StudyFolder, job: str) -> list[Path]:
    """The claims of all attempts at a job, the latest first."""
    return [study.claim_file(job, number) for number in sorted(_claimed_attempts(study, job), reverse=True)]


def has_live_claim(study: StudyFolder, job: str) -> bool:
    """Whether any attempt at a job is running."""
    return any(map(is_claim_live, _claims(study, job)))


def is_published(study: StudyFolder, job: str, attempt: int) -> bool:
    """Whether the result of an attempt is published."""
    return exists(study.result_folder(job, attempt) / RESULT_FILE)


def has_later_claim(study: StudyFolder, job: str, attempt: int) -> bool:
    """Whether a later attempt has begun, also if caches of this machine do not show it yet."""
    if longest_cache_s(study.path):
        look_past_caches(study.claim_file(job, attempt).parent)
    return latest_attempt_number(study, job) > attempt or can_open(study.claim_file(job, attempt + 1))


def _published_attempt(study: StudyFolder, job: str, after: int, before: int) -> int | None:
    """The attempt between two numbers that has published a result which is whole; None if there is none."""
    if before - after > 1 and longest_cache_s(study.path):
        look_past_caches(study.result_folder(job, 1).parent)
    for number in range(before - 1, after, -1):
        folder = study.result_folder(job, number)
        if can_open(folder / RESULT_FILE) and find_damage(folder) is None:
            return number
    return None


def _wait_for_caches(study: StudyFolder, job: str) -> None:
    """Wait until this machine sees all that earlier attempts on other machines, now dead, have done."""
    longest_s = longest_cache_s(study.path)
    if longest_s:
        last = max(map(_last_word, _claims(study, job)), default=0.0)
        time.sleep(max(0.0, min(longest_s, last + longest_s - observation_time(study))))


def _last_word(claim: Path) -> float:
    """When the task of an attempt on another machine last changed a file; 0 for one on this machine."""
    try:
        process, submission, (index, _) = _read_claim(claim)
    except (FileNotFoundError, DamagedFileError):
        return 0.0
    if process.is_of_this_boot():
        return 0.0
    return TaskRecords(StudyFolder(claim.parents[2]).submissions_folder / submission).last_change(index) or 0.0


def claim_attempt(
    root: Root,
    study: StudyFolder,
    job: str,
    attempt: int,
    submission: str,
    task: tuple[int, int] = (0, 0),
    done_before: int = 0,
    is_done_in: Callable[[StudyFolder], bool] | None = None,
) -> str | None:
    """Claim an attempt for the calling process, in a ``task`` (index, restart) of a submission.

    Returns None if the claim is ours, else the reason why not. The claim of an attempt that gives up is withdrawn. A
    result that an attempt after ``done_before`` has published is such a reason. ``is_done_in`` is asked of each other
    study in which the job was begun: only now nobody else can begin it there unseen.
    """
    path = study.claim_file(job, attempt)
    if latest_attempt_number(study, job) >= attempt:
        return f"attempt {attempt} was begun by another process"
    if has_live_claim(study, job):
        return "an earlier attempt is still running"
    _wait_for_caches(study, job)
    record = {"process": ProcessIdentity.current().to_dict(), "submission": submission, "task": task}
    if not create_once(path, json.dumps(record)):
        return f"attempt {attempt} was begun by another process"
    published = _published_attempt(study, job, done_before, attempt)
    if published is not None:
        remove_temporary(path)
        return f"attempt {published} has published its result"
    refusal = _refusal_of_others(root, job, path, is_done_in)
    if refusal is not None:
        remove_temporary(path)
    return refusal


def _refusal_of_others(
    root: Root, job: str, own_claim: Path, is_done_in: Callable[[StudyFolder], bool] | None
) -> str | None:
    """Why a job that was claimed is left to other processes, or to another study; None if it is not."""
    for study in root.study_folders():
        claims = [path for path in _claims(study, job) if path != own_claim]
        if not is_copy(study) and any(map(is_claim_live, claims)):
            return f"the job is running in study {study.name}"
        if claims and is_done_in is not None and study.path != own_claim.parents[2] and is_done_in(study):
            return f"the job is done in study {study.name}"
    return None
