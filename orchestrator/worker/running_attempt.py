"""What a worker knows of an attempt that it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.checkpoint_progress import Step
from seedfold.orchestrator.worker.messages import Message
from seedfold.orchestrator.worker.oom_counters import count_oom_kills
from seedfold.orchestrator.worker.slots import Slot


@dataclass(slots=True)
class RunningAttempt:
    """One running attempt. ``step_before`` is the step of the checkpoint from which it goes on, if it says one."""

    job: JobDescription
    attempt: int
    slot: Slot
    step_before: Step | None
    oom_kills_before: int = field(default_factory=count_oom_kills)
    started_at: float = field(default_factory=time.time)
    pid: int | None = None
    last_message: Message | None = None
    kill_reason: str | None = None
