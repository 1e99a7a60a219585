"""A worker's seat in a task of a SLURM array."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.cluster import Cluster
from seedfold.orchestrator.layout import Root
from seedfold.orchestrator.seat import Interruption, Seat
from seedfold.orchestrator.slots import Gpu, Machine
from seedfold.orchestrator.slurm import queries
from seedfold.orchestrator.submissions import Array, Submission

_TIMEOUT_S = 60.0
# SLURM looks at limits every half minute or minute, and warns so much earlier.
_TICK_S = 75.0
# How long a keeper stays, and how often it looks, while there is something that only a later look can tell.
_KEEPER_S = 1200.0
_KEEPER_PAUSE_S = 10.0


@dataclass(frozen=True)
class SlurmSeat(Seat):
    """What SLURM gave to one element of an array. ``limit_s`` and ``warning_s`` are those of the request."""

    array: Array | None = None
    task: str = ""
    limit_s: float = 0.0
    warning_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def scheduled(self) -> bool:
        """SLURM gave it."""
        return True

    @property
    def look_every_s(self) -> float:
        """Hundreds of tasks look at one file system."""
        return 10.0

    @property
    def signals(self) -> Sequence[signal.Signals]:
        """The warning before the time limit or a preemption, and the signal before an end."""
        return signal.SIGUSR2, signal.SIGTERM, signal.SIGINT

    def machine(self, cluster: Cluster, holder: Path) -> Machine:
        """The CPUs and GPUs of the task, which no other worker shares."""
        assert self.array is not None
        names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        cpus = self.array.resources.cpus * self.array.side_by_side
        places = Path(tempfile.mkdtemp(prefix="seedfold-places-"))
        # Free memory matters where a GPU is shared with strangers.
        own = replace(cluster, slots=self.array.side_by_side, min_free_gpu_memory=None)
        return Machine(own, [Gpu(name, 0) for name in names], holder, cpus, places)

    def interruption(self) -> Interruption:
        """A stop near the time limit is the limit's; any other is a preemption."""
        near_end = time.monotonic() - self.began >= self.limit_s - self.warning_s - _TICK_S
        return "timeout" if near_end else "preempted"

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
    from seedfold.orchestrator.trials import note_number
    from seedfold.orchestrator.worker import sit_down

    number = os.environ["SLURM_ARRAY_JOB_ID"]
    task = f"{number}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    Path(folder, f"{task}_submitted.pkl").unlink(missing_ok=True)
    submission = Submission.read(Path(folder))
    # Of an array that was sent twice, since the first answer was lost, one counts: everybody asks for its tasks only.
    note_number(submission, number)
    if submission.scheduler_id() != number:
        print(f"this array was sent twice: {submission.scheduler_id()} does its work", flush=True)
        sys.exit(0)
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


def keep_going(root: str, study: str) -> None:
    """Start what is to follow in a study: what the keeper job does. Where it is too early to tell, it looks again."""
    end = time.monotonic() + _KEEPER_S
    while _keep(Root(Path(root)), study) and time.monotonic() < end:
        time.sleep(_KEEPER_PAUSE_S)
    sys.exit(0)


def _keep(root: Root, study: str) -> bool:
    """Advance once; tell whether that should be done again in a moment."""
    from seedfold.orchestrator.advance import advance

    try:
        done = advance(root, root.study(study))
    except UnreachableError as error:
        print(error, flush=True)
        return True
    print(done, flush=True)
    return done.put_off
