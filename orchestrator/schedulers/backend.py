"""What a scheduler's backend has to provide: a few functions. All else is shared by all schedulers."""

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
"""A task that is ``ending`` has ended; its exit reason will be known in a moment."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of one task of an array, from the scheduler.

    ``array_id`` is the number of the array; ``scheduler_state`` the scheduler's own word for the state; ``reason`` says
    for people why the task is pending or how it ended; ``kind`` is the failure kind for jobs that were running when the
    task ended, ``cancelled`` if a person ended it, None if it ended as planned; ``expected_start`` is when it is
    expected to start; ``node`` is where it ran; ``was_killed`` says that its worker was killed, nobody knows by whom.
    """

    array_id: str
    phase: Phase
    scheduler_state: str
    reason: str = ""
    kind: FailureKind | Literal["cancelled"] | None = None
    expected_start: str = ""
    node: str = ""
    was_killed: bool = False


StatusReply = Mapping[str, Mapping[int, TaskState]]
"""By the token of a submission, then by the index of the task. A task without an entry is not in the queue."""


class RefusedError(Exception):
    """The scheduler refused a submission. ``queue_full`` means that it may accept it later."""

    def __init__(self, message: str, queue_full: bool = False) -> None:
        super().__init__(message)
        self.queue_full = queue_full


class Backend(Protocol):
    """One scheduler.

    Every function has a time limit, and raises UnreachableError if no readable reply comes in time.
    """

    def largest_array(self) -> int:
        """The largest number of tasks of one array."""

    def check_submission(self, submission: Submission) -> None:
        """Let the scheduler check a submission without submitting it. Raises RefusedError."""

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        """Submit an array that starts when the arrays with the numbers ``after`` have ended; return its number.

        Raises RefusedError if the scheduler refused it, UnreachableError if it is unknown whether it was accepted.
        """

    def submit_keeper(
        self, submission: Submission, after: Sequence[str], function: Callable[[str, str, str], None], number: str
    ) -> str:
        """Submit a small job that calls ``function`` with the root, the study's name and ``number``; return its number.

        It starts when one of the arrays with the numbers ``after`` has ended, or without any in a few minutes. It has
        the settings of ``submission``, and its files are in the folder of it. Raises as `submit` does.
        """

    def cancel_keeper(self, submission: Submission, job_number: str) -> None:
        """Take the keeper job of a submission out of the queue, unless it has begun."""

    def submit_probe(
        self, folder: Path, function: Callable[..., None], args: Sequence[str], resources: Resources
    ) -> str:
        """Submit a job of two minutes that calls a function, and writes its log to the folder; return its number.

        Raises as `submit` does, with advice in the message of a refusal.
        """

    def query_tasks(self, submissions: Iterable[Submission]) -> StatusReply:
        """The states of the tasks of all these submissions, from one query, found by their names."""

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        """Cancel tasks of an array, pending or running. Never those of another array that has its number now."""

    def throttle(self, submission: Submission, tasks: int | None) -> None:
        """Have at most so many tasks of an array that is in the queue run at a time, None for all."""

    def queue_state(self, job_number: str) -> tuple[str, str]:
        """The scheduler's word for the state of a job, empty when it has ended, and the reason if it waits."""

    def findings(self) -> Iterator[Finding]:
        """What the cluster offers, for `seedfold doctor`."""

    def log_name(self, number: str | None, index: int) -> str:
        """The name of a task's log in the submission's folder. It has what the task printed besides its jobs."""
