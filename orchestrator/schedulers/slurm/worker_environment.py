"""A worker's seat in a task of a SLURM array."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.scheduled_worker import ScheduledSeat, take_up
from seedfold.orchestrator.schedulers.slurm import queries
from seedfold.orchestrator.worker.environment import Interruption

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class SlurmSeat(ScheduledSeat):
    """What SLURM gave to one element of an array."""

    def interruption(self, received: int) -> Interruption:
        """A stop near the time limit is the limit's; any other is a preemption."""
        return "timeout" if self.near_end() else "preempted"

    def go_on(self) -> bool:
        """Queue the task again, unless it has been cancelled or has ended otherwise for SLURM."""
        try:
            state = queries.ask(["squeue", "-h", "-j", self.task, "-o", "%T"], _TIMEOUT_S).strip()
            if state != "RUNNING":
                print(f"not queued again: SLURM says {state or 'nothing'} of {self.task}", flush=True)
                return False
            print(f"queue {self.task} again", flush=True)
            queries.ask(["scontrol", "requeue", self.task], _TIMEOUT_S)
        except UnreachableError as error:
            print(f"not queued again: {error}", flush=True)
            return False
        return True


def work_in_task(folder: str, limit_s: float, warning_s: float) -> None:
    """Do the jobs of the element of the array that this process is: what submitit is handed."""
    from seedfold.orchestrator.worker.worker import sit_down

    number = os.environ["SLURM_ARRAY_JOB_ID"]
    task = f"{number}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    submission = take_up(folder, number, f"{task}_submitted.pkl")
    seat = SlurmSeat(
        index=int(os.environ["SLURM_ARRAY_TASK_ID"]),
        restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        array=submission.array,
        task=task,
        limit_s=limit_s,
        warning_s=warning_s,
    )
    sit_down(submission, seat)
    # Without a result for submitit, which would be one more file per element that nobody reads.
    sys.exit(0)
