"""The worker environment in a task of an LSF array."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.scheduled_worker import ScheduledEnvironment, read_task_submission
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.worker.environment import Interruption
from seedfold.orchestrator.worker.imported_task import import_run_task
from seedfold.orchestrator.worker.slots import Machine, visible_gpus

_TIMEOUT_S = 60.0
_END_SIGNALS = {int(signal.SIGINT), int(signal.SIGTERM)}


@dataclass(frozen=True)
class LsfEnvironment(ScheduledEnvironment):
    """The environment of a worker in one element of an LSF array.

    After a warning it is requeued; `bkill` begins with an interrupt.
    """

    signals_received: list[int] = field(default_factory=list)

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """LSF's signals, and an alarm in place of the warning, because some servers warn only at the limit itself."""
        return *super().stop_signals, signal.SIGALRM

    @property
    def node(self) -> str:
        """The name of the host in LSF, which may be shorter than the host's own name."""
        return next(iter(os.environ.get("LSB_HOSTS", "").split()), "") or super().node

    def machine(self, cluster: ClusterSettings, holder: Path) -> Machine:
        """As on other clusters. If LSF does not say which GPUs the task has, these are GPUs that no other task uses."""
        assert self.array is not None
        if "CUDA_VISIBLE_DEVICES" in os.environ or not self.array.resources.gpus:
            return super().machine(cluster, holder)
        cpus = self.array.resources.cpus * self.array.side_by_side
        return Machine(replace(cluster, slots=self.array.side_by_side), visible_gpus(), holder, cpus)

    def set_alarm(self) -> None:
        """Set an alarm that warns this process in time, even if LSF does not."""
        signal.setitimer(signal.ITIMER_REAL, max(1.0, self.limit_s - self.warning_s))

    def interruption(self, signal_number: int) -> Interruption | None:
        """A stop near the time limit counts as the time limit. For any other stop LSF knows who ended the task."""
        self.signals_received.append(signal_number)
        if signal_number in _END_SIGNALS:
            return None
        return "timeout" if self.is_near_time_limit() else "preempted"

    @property
    def end_signal(self) -> int | None:
        """The first signal that ended the task, and did not only warn it."""
        return next((number for number in self.signals_received if number in _END_SIGNALS), None)

    def requeue(self) -> bool:
        """Requeue the task, unless it is being killed."""
        if self.end_signal is not None:
            print(f"not requeued: {self.task_id} was sent signal {self.end_signal}", flush=True)
            return False
        import subprocess

        from seedfold.orchestrator.schedulers.lsf.submitit_plugin import requeue_and_wait

        print(f"requeueing {self.task_id}", flush=True)
        try:
            requeue_and_wait(self.task_id, _TIMEOUT_S)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"not requeued: {error}", flush=True)
            return False
        return True


def work_in_task(folder: str, limit_s: float, warning_s: float) -> None:
    """Run the jobs of this process's element of the array."""
    run_task = import_run_task()
    array_id, element_index = os.environ["LSB_JOBID"], int(os.environ["LSB_JOBINDEX"])
    submission = read_task_submission(folder, array_id, f"{array_id}_{element_index}_submitted.pkl")
    environment = LsfEnvironment(
        index=element_index - 1,
        restart=_restart_count(submission, element_index - 1),
        array=submission.array,
        task_id=f"{array_id}[{element_index}]",
        limit_s=limit_s,
        warning_s=warning_s,
    )
    environment.set_alarm()
    run_task(submission, environment, is_fresh=True)
    # A task that was killed must not look as if it had succeeded.
    sys.exit(0 if environment.end_signal is None else 128 + environment.end_signal)


def _restart_count(submission: Submission, index: int) -> int:
    """How often the task has started before. LSF does not count starts, but each earlier start has left a record."""
    return submission.tasks.record_of(index).last_start + 1
