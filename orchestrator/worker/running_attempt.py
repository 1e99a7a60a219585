"""What a worker knows of an attempt that it runs."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.checkpoint_progress import Step
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.worker.messages import Message
from seedfold.orchestrator.worker.oom_counters import count_oom_kills
from seedfold.orchestrator.worker.parent_death import signal_job
from seedfold.orchestrator.worker.slots import Slot
from seedfold.results.recording.attempt_file import Attempt


@dataclass(slots=True)
class RunningAttempt:
    """One running attempt. ``step_before`` is the step of the checkpoint from which it goes on, if it says one.

    ``group`` has the jobs of its process, if they are several.
    ``peak_bytes`` is the most memory that its worker saw its processes have, ``gpu_percents`` how busy its GPUs were at
    each look. ``gpu_bytes`` is the most memory that it was seen to take of a GPU, ``gpu_neighbours`` the most other
    jobs that were on its GPU at once.
    """

    job: JobDescription
    attempt: int
    slot: Slot
    step_before: Step | None
    group: tuple[str, ...] = ()
    oom_kills_before: int = field(default_factory=count_oom_kills)
    started_at: float = field(default_factory=time.time)
    pid: int | None = None
    last_message: Message | None = None
    kill_reason: str | None = None
    peak_bytes: int = 0
    gpu_percents: list[int] = field(default_factory=list)
    gpu_bytes: int = 0
    gpu_neighbours: int = 0

    def is_meant_by(self, message: Message) -> bool:
        """Whether the end that a message tells is that of this attempt.

        A process of several jobs ends after they have, when some of them may run again in another process.
        """
        return bool(message.get("pid", self.pid) == self.pid and message.get("n", self.attempt) == self.attempt)

    def send_signal(self, number: signal.Signals, study: StudyFolder) -> None:
        """Send a signal to the processes of the attempt, if they have been started."""
        if self.pid is None:
            return
        if number == signal.SIGTERM:
            # The program may have replaced our handler, and its child processes have none. On a full disk nobody can
            # tell them.
            with suppress(OSError):
                Attempt(self.job, self.attempt, study.job_folder(self.job.id)).request_stop()
        signal_job(self.pid, number)


def count_processes(running: Iterable[RunningAttempt]) -> int:
    """In how many processes attempts run."""
    return len({one.group or one.job.id for one in running})
