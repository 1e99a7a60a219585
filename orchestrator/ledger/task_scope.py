"""Which part of a ledger concerns a few jobs: those of one task of an array, and what they depend on.

The worker of each task reads the ledger when it begins, and again while it runs. If it read all of it, a study of T
tasks would have T² files of events read. So a task records its events in a file that has its place in its name, and the
worker of a task reads the files of commands and of those tasks that ever had one of its jobs, their ancestors, or the
pilot jobs for which they are held.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.submissions import Submission, Submissions

_OF_TASK = re.compile(r"task\.([^.]+)\.(\d+)\.")
"""How the names of the files begin that have the events of a task: with its submission and its index."""
_MOST_JOBS = 1000
"""For more jobs the whole ledger is read."""


def events_prefix(token: str, index: int) -> str:
    """How the names of the files with the events of a task begin."""
    return f"task.{token}.{index}."


def task_of_file(name: str) -> tuple[str, int] | None:
    """The submission and the index of the task whose events a file has; None if it is not that of a task."""
    match = _OF_TASK.match(name)
    return None if match is None else (match[1], int(match[2]))


def is_file_ended(submissions: Submissions, name: str) -> bool:
    """Whether a file has the events of a task that was over when the submissions were read."""
    task = task_of_file(name)
    return task is not None and submissions.is_task_over(*task)


def related_jobs(planned: Mapping[str, JobDescription], jobs: Iterable[str]) -> set[str] | None:
    """The jobs and all their ancestors.

    None if the whole ledger is to be read for them: they are many, no plan has them (those of a search), or jobs that
    nobody has listed here predict from their fits.
    """
    found, to_visit = set[str](), list(jobs)
    while to_visit:
        job = to_visit.pop()
        if job in found:
            continue
        description = planned.get(job)
        if description is None or description.fit != job or len(found) >= _MOST_JOBS:
            return None
        found.add(job)
        to_visit.extend(description.parents)
    return found


class TaskScope:
    """The tasks that ever had one of some jobs."""

    def __init__(self, jobs: Iterable[str]) -> None:
        self.jobs = set(jobs)
        self._tasks = defaultdict[str, set[int]](set)

    def add(self, submission: Submission) -> bool:
        """Add the tasks of a submission that have one of the jobs; return whether there are any."""
        per_task = len(submission.jobs) if submission.array is None else submission.array.per_task
        found = {place // per_task for place, job in enumerate(submission.jobs) if job in self.jobs}
        if found:
            self._tasks[submission.token] |= found
        return bool(found)

    def add_jobs(self, jobs: Iterable[str]) -> bool:
        """Add jobs; return whether any is new. The submissions have to be added again then."""
        before = len(self.jobs)
        self.jobs.update(jobs)
        return len(self.jobs) > before

    def has_file(self, name: str) -> bool:
        """Whether a file of events is that of such a task, or of no task at all."""
        task = task_of_file(name)
        return task is None or task[1] in self._tasks.get(task[0], ())
