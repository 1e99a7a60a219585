"""Where a worker sits: what it may use, what a signal means there, and who goes on when it leaves."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.worker.slots import Machine

Interruption = Literal["timeout", "preempted"]


@dataclass(frozen=True)
class WorkerEnvironment:
    """A seat on this machine: its places are shared with other workers, and a person stops and resumes it.

    ``index`` and ``restart`` say which task of the submission it is.
    """

    index: int = 0
    restart: int = 0

    @property
    def is_scheduled(self) -> bool:
        """Whether a scheduler gave the seat: it takes it back at its own time, and knows how the task ended."""
        return False

    @property
    def refresh_every_s(self) -> float:
        """Seconds between two looks at what others have done, while nothing happens here."""
        return 0.0

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """The signals at which the worker stops."""
        return signal.SIGTERM, signal.SIGINT

    def machine(self, cluster: ClusterSettings, holder: Path) -> Machine:
        """The places that the worker of the study in the folder ``holder`` may give to jobs."""
        return Machine(cluster, holder=holder)

    def interruption(self, signal_number: int) -> Interruption | None:
        """Why the scheduler stops the worker with ``signal_number``; None where a person does."""
        return None

    def requeue(self) -> bool:
        """Ask for the same task to be started again; False if nobody will start it."""
        return False
