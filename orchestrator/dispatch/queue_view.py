"""The queue view: which jobs of a study wait in a cluster's queue, and why.

Commands advance the study when they read it, as `advance_and_view_queue` does; what only shows it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.jobs.times_text import parse_scheduler_time, start_text
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import TaskState


@dataclass(frozen=True, slots=True)
class QueuedJobs:
    """Jobs that are queued for one reason. ``starts`` is when the scheduler expects the first of them to start."""

    reason: str
    jobs: int
    starts: str | None

    def text(self) -> str:
        """Return it as one line of text."""
        expected = f"; the first {start_text(self.starts, datetime.now())}" if self.starts else ""
        return f"{count_noun(self.jobs, 'job')} queued: {self.reason}{expected}"


@dataclass(frozen=True, slots=True)
class QueueView:
    """Why jobs wait in a queue, and problems with the scheduler; ``unreachable`` is the error if it did not reply."""

    queued: tuple[QueuedJobs, ...] = ()
    problems: tuple[str, ...] = ()
    unreachable: str | None = None

    def seconds_to_first_start(self) -> float | None:
        """In how many seconds the scheduler expects the first of the jobs to start; None if it does not say."""
        now = datetime.now()
        moments = [parse_scheduler_time(one.starts, now) for one in self.queued if one.starts]
        seconds = [(moment - now).total_seconds() for moment in moments if moment is not None]
        return max(0.0, min(seconds)) if seconds else None

    def lines(self) -> list[str]:
        """The whole view as lines of text."""
        silent = [f"{self.unreachable}; this status may be out of date"] if self.unreachable else []
        return [*(one.text() for one in self.queued), *self.problems, *silent]


def advance_and_view_queue(root: Root, ledger: Ledger) -> QueueView:
    """If a scheduler has jobs of a study, advance the study and return the scheduler's view of these jobs."""
    if read_copy_origin(ledger.study) is not None or not any(
        submission.array for submission in ledger.live_submissions
    ):
        return QueueView()
    from seedfold.orchestrator.schedulers.advance import advance

    try:
        result = advance(root, ledger.study, ledger)
    except UnreachableError as error:
        return QueueView(unreachable=str(error))
    ledger.refresh()
    groups = _JobsByReason()
    for submission in (one for one in ledger.live_submissions if one.token not in result.on_hold):
        groups.add_submission(submission, result.task_states.get(submission.token) or {})
    return QueueView(groups.queued_jobs(), (*result.problems, *result.refusals))


def view_queue(root: Root, ledger: Ledger) -> QueueView:
    """Return the same, but advance nothing: nothing is written, and no job is submitted.

    Asks the scheduler, which may take seconds.
    """
    if read_copy_origin(ledger.study) is not None or not any(one.array for one in ledger.live_submissions):
        return QueueView()
    from seedfold.orchestrator.schedulers.advance_round import AdvanceRound

    this_round = AdvanceRound(root, ledger.study, ledger)
    try:
        this_round.query_schedulers()
    except UnreachableError as error:
        return QueueView(unreachable=str(error))
    groups = _JobsByReason()
    for submission in ledger.live_submissions:
        groups.add_submission(submission, this_round.result.task_states.get(submission.token) or {})
    return QueueView(groups.queued_jobs())


def _reason_without_number(submission: Submission) -> str:
    from seedfold.orchestrator.schedulers.submission_attempts import last_attempt

    attempt = last_attempt(submission)
    if attempt is None or attempt.refused:
        return "not submitted yet, until the queue has room"
    return (
        "the scheduler's answer to their submission was lost and is being looked for; if it has no trace of them,"
        " they are submitted again"
    )


@dataclass(slots=True)
class _JobsByReason:
    """Jobs by the reason why they wait."""

    jobs: dict[str, int] = field(default_factory=dict)
    expected_starts: dict[str, list[str]] = field(default_factory=dict)

    def add_submission(self, submission: Submission, states: Mapping[int, TaskState]) -> None:
        """Count the jobs of one submission: those of pending tasks, or all if it was not submitted yet."""
        if submission.array is not None and submission.scheduler_id() is None:
            self._add_jobs(_reason_without_number(submission), len(submission.jobs), "")
        for index, state in states.items():
            if state.phase == "pending":
                self._add_jobs(state.reason, len(submission.jobs_of_task(index)), state.expected_start)

    def _add_jobs(self, reason: str, jobs: int, expected_start: str) -> None:
        self.jobs[reason] = self.jobs.get(reason, 0) + jobs
        if expected_start:
            self.expected_starts.setdefault(reason, []).append(expected_start)

    def queued_jobs(self) -> tuple[QueuedJobs, ...]:
        """The groups, the largest group first."""
        ordered = sorted(self.jobs.items(), key=lambda group: -group[1])
        return tuple(
            QueuedJobs(reason, jobs, min(self.expected_starts.get(reason, []), default=None))
            for reason, jobs in ordered
        )
