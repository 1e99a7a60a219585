"""What a scheduler has to offer: a handful of functions. Everything else is shared by all schedulers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.failures import FailureKind

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.findings import Finding

Phase = Literal["pending", "running", "ending", "ended"]
"""A task that is ``ending`` has ended; how will be known in a moment."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the scheduler says of one task of an array.

    ``array_id`` is the number of the array; ``scheduler_state`` the scheduler's own word for the state; ``reason`` why
    it is pending or how it ended, for people; ``kind`` the failure that such an end is for a job that was at work,
    ``cancelled`` where a person ended it, None where it ended in order; ``expected_start`` when it is expected to
    start; ``node`` where it was.
    """

    array_id: str
    phase: Phase
    scheduler_state: str
    reason: str = ""
    kind: FailureKind | Literal["cancelled"] | None = None
    expected_start: str = ""
    node: str = ""


StatusReply = Mapping[str, Mapping[int, TaskState]]
"""By the token of a submission, then by the index of the task. What is not there is not in the queue."""


class RefusedError(Exception):
    """The scheduler did not take a submission, and said so. ``queue_full`` tells that it may take it later."""

    def __init__(self, message: str, queue_full: bool = False) -> None:
        super().__init__(message)
        self.queue_full = queue_full


class Backend(Protocol):
    """One scheduler. Every function has a time limit, and raises UnreachableError where no sense came in time."""

    def largest_array(self) -> int:
        """The most tasks that one array may have."""

    def check_submission(self, submission: Submission) -> None:
        """Have the scheduler look at a submission without taking it. Raises RefusedError."""

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """Hand over an array that starts when the arrays numbered ``after`` have ended; return its number.

        Raises RefusedError if the scheduler said no, UnreachableError if nobody knows what became of it.
        """

    def submit_keeper(self, submission: Submission, after: str | None, function: Callable[[str, str], None]) -> None:
        """Queue a small job that calls ``function`` with the root and the study's name.

        It starts when the array numbered ``after`` has ended, or in a few minutes. Raises as `submit`.
        """

    def submit_probe(
        self, folder: Path, function: Callable[..., None], args: Sequence[str], resources: Resources
    ) -> str:
        """Queue a job of two minutes that calls a function, and logs to the folder; return its number.

        Raises as `submit`, with what helps a person who was refused.
        """

    def query_tasks(self, submissions: Iterable[Submission]) -> StatusReply:
        """How the tasks of all these submissions are, in one question, found by their names."""

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """Take tasks of an array out of the queue or end them; not those of a stranger's that has its number now."""

    def queue_state(self, job_number: str) -> tuple[str, str]:
        """The scheduler's word for the state of a job, empty when it has ended, and why it waits, if it does."""

    def findings(self) -> Iterator[Finding]:
        """What the cluster offers, for `seedfold doctor`."""

    def log_name(self, number: str | None, index: int) -> str:
        """The file, in the submission's folder, with what a task printed around its jobs."""
