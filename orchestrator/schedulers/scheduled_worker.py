"""The worker environment that the tasks of all schedulers have in common."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seedfold.orchestrator.ledger.submissions import Submission, TaskArray
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.worker.environment import WorkerEnvironment
from seedfold.orchestrator.worker.slots import Gpu, Machine, OwnLocks

_WARNING_TOLERANCE_S = 75.0
"""Schedulers check limits every half minute or minute, and may send a warning this much earlier than requested."""


@dataclass(frozen=True)
class ScheduledEnvironment(WorkerEnvironment):
    """The environment of a worker in one element of an array.

    ``limit_s`` and ``warning_s`` are those of the request.
    """

    array: TaskArray | None = None
    task_id: str = ""
    limit_s: float = 0.0
    warning_s: float = 0.0
    started_at: float = field(default_factory=time.monotonic)

    @property
    def is_scheduled(self) -> bool:
        """A scheduler runs the task."""
        return True

    @property
    def refresh_every_s(self) -> float:
        """Not zero, because hundreds of tasks share one file system."""
        return 10.0

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """The warning before the time limit or a preemption, and the signals that come before a kill."""
        return signal.SIGUSR2, signal.SIGTERM, signal.SIGINT

    def machine(self, cluster: ClusterSettings, holder: Path) -> Machine:
        """The CPUs and GPUs of the task, which no other worker shares."""
        assert self.array is not None
        gpu_names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        cpus = self.array.resources.cpus * self.array.side_by_side
        # Free memory matters only if GPUs are shared with other people's processes.
        task_cluster = replace(cluster, slots=self.array.side_by_side, min_free_gpu_memory=None)
        return Machine(task_cluster, [Gpu(name, 0) for name in gpu_names], holder, cpus, OwnLocks())

    def is_near_time_limit(self) -> bool:
        """Whether a warning that comes now may be the warning before the time limit."""
        return time.monotonic() - self.started_at >= self.limit_s - self.warning_s - _WARNING_TOLERANCE_S


def read_task_submission(folder: str, array_id: str, pickle: str) -> Submission:
    """Read the submission of which this process is a task, after recording the scheduler's number of the array.

    Of an array that was sent twice, since the first answer was lost, one counts: everybody asks for its tasks only. If
    an array was sent twice because the first reply was lost, only one of the two counts. In a task of the other one
    this function ends the process.
    """
    from seedfold.orchestrator.schedulers.submission_attempts import record_array_id

    # Launchers of earlier versions leave one for each task.
    Path(folder, pickle).unlink(missing_ok=True)
    submission = Submission.read(Path(folder))
    record_array_id(submission, array_id)
    if submission.scheduler_id() != array_id:
        print(f"this array was submitted twice: array {submission.scheduler_id()} runs its jobs", flush=True)
        sys.exit(0)
    return submission
