"""The worker environment: what a worker may use, what a signal means, and who starts its task again after a stop."""

from __future__ import annotations

import os
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
    """The environment of a worker on this machine: it shares slots with other workers; a person stops and resumes it.

    ``index`` and ``restart`` say which task of the submission it is.
    """

    index: int = 0
    restart: int = 0

    @property
    def is_scheduled(self) -> bool:
        """Whether a scheduler runs the task: the scheduler may stop it at any time, and knows how it ended."""
        return False

    @property
    def refresh_every_s(self) -> float:
        """Seconds between two checks of what others have done, while nothing happens here."""
        return 0.0

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """The signals at which the worker stops."""
        return signal.SIGTERM, signal.SIGINT

    @property
    def node(self) -> str:
        """This node, by the name that the scheduler takes where it is told to stay away from it."""
        return os.uname().nodename

    def machine(self, cluster: ClusterSettings, holder: Path) -> Machine:
        """The slots that the worker of the study in the folder ``holder`` may use for jobs."""
        return Machine(cluster, holder=holder)

    def interruption(self, signal_number: int) -> Interruption | None:
        """Why the scheduler stops the worker with ``signal_number``; None if a person stops it."""
        return None

    def requeue(self) -> bool:
        """Ask the scheduler to requeue the task; False if it will not start again."""
        return False
