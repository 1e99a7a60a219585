"""The worker environment in a task of a SLURM array."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.scheduled_worker import ScheduledEnvironment, read_task_submission
from seedfold.orchestrator.worker.environment import Interruption
from seedfold.orchestrator.worker.imported_task import import_run_task

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class SlurmEnvironment(ScheduledEnvironment):
    """The environment of a worker in one element of a SLURM array."""

    @property
    def node(self) -> str:
        """The name of the node, which need not be the host's own name."""
        return os.environ.get("SLURMD_NODENAME") or super().node

    def interruption(self, signal_number: int) -> Interruption:
        """A stop near the time limit counts as the time limit; any other stop counts as a preemption."""
        return "timeout" if self.is_near_time_limit() else "preempted"

    def requeue(self) -> bool:
        """Requeue the task, unless SLURM says that it was cancelled or has ended otherwise."""
        from seedfold.orchestrator.schedulers.slurm import queries

        try:
            state = queries.output_of(["squeue", "-h", "-j", self.task_id, "-o", "%T"], _TIMEOUT_S).strip()
            if state != "RUNNING":
                print(f"not requeued: SLURM says {state or 'nothing'} of {self.task_id}", flush=True)
                return False
            print(f"requeueing {self.task_id}", flush=True)
            queries.output_of(["scontrol", "requeue", self.task_id], _TIMEOUT_S)
        except UnreachableError as error:
            print(f"not requeued: {error}", flush=True)
            return False
        return True


def work_in_task(folder: str, limit_s: float, warning_s: float) -> None:
    """Run the jobs of this process's element of the array."""
    run_task = import_run_task()
    array_id = os.environ["SLURM_ARRAY_JOB_ID"]
    task_id = f"{array_id}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    submission = read_task_submission(folder, array_id, f"{task_id}_submitted.pkl")
    environment = SlurmEnvironment(
        index=int(os.environ["SLURM_ARRAY_TASK_ID"]),
        restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        array=submission.array,
        task_id=task_id,
        limit_s=limit_s,
        warning_s=warning_s,
    )
    run_task(submission, environment, is_fresh=True)
    # Under an earlier version, submitit calls this, and would write a result that nobody reads.
    sys.exit(0)
