"""Takes tasks out of the queue that have only cancelled jobs.

`seedfold cancel` does this at once. If the scheduler does not reply then, the next call of `advance` does it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_records import TaskRecord
from seedfold.orchestrator.schedulers.advance_round import settle_s
from seedfold.orchestrator.schedulers.registry import get_backend
from seedfold.orchestrator.schedulers.submission_attempts import last_attempt, orphaned_folder
from seedfold.orchestrator.settings.cluster import ClusterSettings


def remove_cancelled_from_queue(ledger: Ledger) -> None:
    """Cancel the scheduler's tasks that have not begun and have only cancelled jobs.

    An array whose number is not known yet is left as it is. Raises UnreachableError if the scheduler does not reply.
    """
    for submission in ledger.live_submissions:
        if submission.array is None:
            continue
        if orphaned_folder(submission) is not None:
            _close_cancelled_tasks(submission, ledger)
        else:
            _remove_tasks(submission, cancelled_tasks(submission, ledger))


def cancelled_tasks(submission: Submission, ledger: Ledger) -> list[int]:
    """The tasks that have not begun and have only cancelled jobs."""
    if not ledger.cancelled_jobs:
        return []
    marks = submission.tasks.records()
    return [
        index
        for index in range(submission.task_count)
        if index not in marks and ledger.cancelled_jobs.issuperset(submission.jobs_of_task(index))
    ]


def _remove_tasks(submission: Submission, tasks: Iterable[int]) -> None:
    backend, removed = get_backend(ClusterSettings.parse(submission.settings["cluster"])), list(tasks)
    if not removed or (submission.scheduler_id() is None and _may_still_appear(submission)):
        return
    if submission.scheduler_id() is not None and backend is not None:
        backend.cancel(submission, removed)
    for index in removed:
        submission.tasks.record_end(index, 0, by="cancel")


def _may_still_appear(submission: Submission) -> bool:
    """Whether a scheduler may have accepted a submission without anybody knowing its number yet."""
    attempt = last_attempt(submission)
    if attempt is None or attempt.refused:
        return False
    return attempt.may_be_submitting() or time.time() - attempt.time <= settle_s(submission)


def _close_cancelled_tasks(submission: Submission, ledger: Ledger) -> None:
    """Record the end of tasks with only cancelled jobs whose root was moved; they are not cancelled in the queue."""
    marks = submission.tasks.records()
    for index in range(submission.task_count):
        if ledger.cancelled_jobs.issuperset(submission.jobs_of_task(index)):
            submission.tasks.record_end(index, max(marks.get(index, TaskRecord()).last_start, 0), by="cancel")
