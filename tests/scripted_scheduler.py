"""A scheduler that does what a test says, in the process of the test: no command is run, and no job either.

`ScriptedScheduler` takes the place of SLURM's backend. Its arrays are queued until the test has them run, end, vanish
or be killed. It refuses submissions, loses its answers, or is away.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from toyproject import Toy, wait_until

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers import advance_round, cancelled_tasks, intents
from seedfold.orchestrator.schedulers.backend import Phase, RefusedError, StatusReply, TaskState
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.scheduled_worker import ScheduledEnvironment
from seedfold.orchestrator.worker.environment import Interruption
from seedfold.orchestrator.worker.worker import Worker

NODE = "n1"


@dataclass
class Array:
    """An array in the queue: the states of its tasks, without those that the scheduler has forgotten."""

    submission: Submission
    after: Sequence[str]
    tasks: dict[int, TaskState] = field(default_factory=dict)


@dataclass
class Keeper:
    """A keeper job in the queue, and the numbers of the arrays that it waits for."""

    number: str
    after: Sequence[str]
    state: str = "PENDING"


@dataclass
class ScriptedScheduler:
    """Stands for SLURM. ``is_away``: nobody answers; ``refusal``: what it says of submissions; ``answers``: its answer
    to a submission is lost if it is false; ``refuses`` decides which arrays it refuses, all of them by default.
    """

    is_away: bool = False
    refusal: str = ""
    refuses: Callable[[Submission], bool] = lambda submission: True
    answers: bool = True
    arrays: dict[str, Array] = field(default_factory=dict)
    keepers: dict[str, Keeper] = field(default_factory=dict)
    throttles: list[tuple[str | None, int | None]] = field(default_factory=list)

    # What a test says.

    def set_state(self, phase: Phase, word: str, *tasks: int, number: str | None = None, **details: object) -> None:
        """Have tasks of an array, by default of the last one, be in this state."""
        array = self.arrays[number or list(self.arrays)[-1]]
        for index in tasks or range(array.submission.task_count):
            array.tasks[index] = replace(array.tasks[index], phase=phase, scheduler_state=word, **details)  # type: ignore[arg-type]

    def forget(self, *tasks: int) -> None:
        """Have the scheduler not list tasks of its last array any more."""
        for index in tasks:
            del list(self.arrays.values())[-1].tasks[index]

    def queued_keepers(self) -> list[Keeper]:
        return [keeper for keeper in self.keepers.values() if keeper.state == "PENDING"]

    # What a backend does.

    def _answer(self) -> None:
        if self.is_away:
            raise UnreachableError("squeue did not reply within 10 s; the jobs are not affected")

    def _next_number(self) -> str:
        return str(101 + len(self.arrays) + len(self.keepers))

    def largest_array(self) -> int:
        return 1000

    def check_submission(self, submission: Submission) -> None:
        self._answer()

    def submit(self, submission: Submission, after: Sequence[str]) -> str:
        self._answer()
        if self.refusal and self.refuses(submission):
            raise RefusedError(self.refusal)
        number = self._next_number()
        tasks = {index: TaskState(number, "pending", "PENDING") for index in range(submission.task_count)}
        self.arrays[number] = Array(submission, after, tasks)
        if not self.answers:
            raise UnreachableError("sbatch: Socket timed out; a later command finds out whether the jobs were accepted")
        return number

    def submit_keeper(
        self, submission: Submission, after: Sequence[str], function: Callable[[str, str, str], None], number: str
    ) -> str:
        self._answer()
        job_number = self._next_number()
        self.keepers[job_number] = Keeper(number, after)
        return job_number

    def cancel_keeper(self, submission: Submission, job_number: str) -> None:
        self._answer()
        self.keepers[job_number].state = ""

    def submit_probe(
        self, folder: Path, function: Callable[..., None], args: Sequence[str], resources: Resources
    ) -> str:
        raise NotImplementedError

    def query_tasks(self, submissions: Iterable[Submission]) -> StatusReply:
        self._answer()
        tokens = {submission.token for submission in submissions}
        arrays = (array for array in self.arrays.values() if array.submission.token in tokens)
        return {array.submission.token: dict(array.tasks) for array in arrays}

    def cancel(self, submission: Submission, tasks: Iterable[int]) -> None:
        self._answer()
        number = submission.scheduler_id()
        for index in tasks:
            if number is not None:
                self.arrays[number].tasks.pop(index, None)

    def throttle(self, submission: Submission, tasks: int | None) -> None:
        self._answer()
        self.throttles.append((submission.scheduler_id(), tasks))

    def queue_state(self, job_number: str) -> tuple[str, str]:
        self._answer()
        return self.keepers[job_number].state, ""

    def findings(self) -> Iterator[Finding]:
        yield from ()

    def log_name(self, number: str | None, index: int) -> str:
        return f"{number}_{index}.log"


def install(patch: pytest.MonkeyPatch) -> ScriptedScheduler:
    """Put a scripted scheduler in the place of SLURM for code that runs in this process."""
    scheduler = ScriptedScheduler()
    for module in (advance_round, cancelled_tasks, intents):
        patch.setattr(module, "get_backend", lambda cluster: scheduler)
    return scheduler


def submissions(toy: Toy, study: str = "light") -> list[Submission]:
    """All that were ever made, the oldest first."""
    folders = toy.study(study).submissions_folder.iterdir()
    return sorted((Submission.read(folder) for folder in folders), key=lambda one: one.created)


@dataclass(frozen=True)
class ScriptedEnvironment(ScheduledEnvironment):
    """The environment of a task whose scheduler stops it for the reason ``why``; ``requeues`` counts its requests."""

    why: Interruption | None = None
    name: str = NODE
    requeues: list[int] = field(default_factory=list)

    @property
    def node(self) -> str:
        return self.name

    @property
    def refresh_every_s(self) -> float:
        return 0.0

    def interruption(self, signal_number: int) -> Interruption | None:
        return self.why

    def requeue(self) -> bool:
        self.requeues.append(self.restart)
        return True


@contextmanager
def _own_signal_handlers(toy: Toy) -> Iterator[None]:
    """Let a worker in this process have its handlers and its environment, and take them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(toy.folder)
        for name, value in {**toy.environment, "PYTHONPATH": str(toy.folder)}.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_task(
    toy: Toy,
    environment: ScriptedEnvironment,
    stop_when: Callable[[], object] | None = None,
    act: Callable[[], object] = lambda: os.kill(os.getpid(), signal.SIGUSR2),
    submission_number: int = -1,
    study: str = "light",
) -> ScriptedEnvironment:
    """Run the worker of a task of a submission, by default the last one, in this process; ``act``, a stop, when the
    condition holds."""
    submission = submissions(toy, study)[submission_number]
    environment = replace(environment, array=submission.array)
    assert submission.tasks.record_start(environment.index, environment.restart)

    def wait_and_act() -> None:
        assert stop_when is not None
        wait_until(stop_when)
        act()

    with _own_signal_handlers(toy):
        worker = Worker(submission, environment)
        thread = threading.Thread(target=wait_and_act) if stop_when else None
        if thread:
            thread.start()
        worker.run()
        if thread:
            thread.join()
    return environment


def events(toy: Toy, study: str = "light") -> list[Mapping[str, object]]:
    """The last event of each attempt, in the order of jobs and attempts."""
    ledger = Ledger(toy.study(study))
    records = (ledger.record_of(job) for job in ledger.plans.jobs)
    return [event for record in records for _, event in sorted(record.last_events.items())]
