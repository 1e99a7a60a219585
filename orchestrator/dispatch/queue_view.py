"""What a cluster's queue holds of a study, in words; asking brings the study forward, as every command does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seedfold.jobs.errors import UnreachableError, counted
from seedfold.orchestrator.ledger.copy_origin import home_of
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.backend import TaskState


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs that are queued for one reason. ``starts`` is when the scheduler expects the first of them to start."""

    reason: str
    jobs: int
    starts: str | None

    def text(self) -> str:
        """Say it in a line."""
        expected = f"; the first is expected to start {self.starts}" if self.starts else ""
        return f"{counted(self.jobs, 'job')} queued: {self.reason}{expected}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """Why jobs wait in a queue, and what a person should know of it; ``unreachable`` if the scheduler said nothing."""

    waiting: tuple[Waiting, ...] = ()
    problems: tuple[str, ...] = ()
    unreachable: str | None = None

    def lines(self) -> list[str]:
        """All of it, one line each."""
        silent = [f"{self.unreachable}; what is said here was known before"] if self.unreachable else []
        return [*(one.text() for one in self.waiting), *self.problems, *silent]


def look_ahead(root: Root, ledger: Ledger) -> Outlook:
    """Bring a study forward where a scheduler has jobs of it, and return what the scheduler says of them."""
    if home_of(ledger.study) is not None or not any(submission.array for submission in ledger.live):
        return Outlook()
    from seedfold.orchestrator.schedulers.advance import advance

    try:
        done = advance(root, ledger.study)
    except UnreachableError as error:
        return Outlook(unreachable=str(error))
    ledger.refresh()
    groups = _Groups()
    for submission in ledger.live:
        groups.add(submission, done.answer.get(submission.token) or {})
    return Outlook(groups.waiting(), tuple(done.problems))


@dataclass(slots=True)
class _Groups:
    """Jobs by the reason for which they wait."""

    jobs: dict[str, int] = field(default_factory=dict)
    starts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, submission: Submission, states: Mapping[int, TaskState]) -> None:
        """Count the jobs of one submission: those of pending tasks, and all where it was not sent yet."""
        if submission.array is not None and submission.scheduler_id() is None:
            self._count("held back until there is room in the queue", len(submission.jobs), "")
        for index, state in states.items():
            if state.phase == "pending":
                self._count(state.reason, len(submission.jobs_of(index)), state.starts)

    def _count(self, reason: str, jobs: int, starts: str) -> None:
        self.jobs[reason] = self.jobs.get(reason, 0) + jobs
        if starts:
            self.starts.setdefault(reason, []).append(starts)

    def waiting(self) -> tuple[Waiting, ...]:
        """The groups, the largest first."""
        ordered = sorted(self.jobs.items(), key=lambda group: -group[1])
        return tuple(Waiting(reason, jobs, min(self.starts.get(reason, []), default=None)) for reason, jobs in ordered)
