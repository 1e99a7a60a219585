"""The heartbeat of a worker, and what it makes of a silence: meanwhile others may have taken it for dead."""

from __future__ import annotations

import time
from collections.abc import Iterable
from math import inf

from seedfold.orchestrator.ledger.claims import has_later_claim
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import HEARTBEAT_S
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.running_attempt import RunningAttempt
from seedfold.results.store.passing_errors import storage_error

TAKEN = "this worker was silent for so long that others took it for dead"


class Heartbeat:
    """The heartbeat of the worker of one task, (index, restart)."""

    def __init__(self, study: StudyFolder, submission: Submission, index: int, restart: int) -> None:
        self._study, self._submission, self._index, self._restart = study, submission, index, restart
        self._last = -inf
        self._was_silent = False
        self.task_was_ended = False
        """Whether somebody else has recorded the end of this task, or it was started again."""

    def beat(self, running: Iterable[RunningAttempt]) -> list[RunningAttempt]:
        """Record a heartbeat, if one is due; return those ``running`` attempts that others have begun again."""
        if time.monotonic() - self._last < HEARTBEAT_S:
            return []
        self._last = time.monotonic()
        try:
            silent_s = self._submission.tasks.record_heartbeat(self._index, self._restart)
            if silent_s >= self._submission.silent_s:
                say(f"no heartbeat was recorded for {silent_s:.0f} s: what others have begun again is given up here")
                self._was_silent = True
            taken = self._find_taken(running) if self._was_silent else []
        except OSError as error:
            if storage_error(error) is None:
                raise
            say(f"no heartbeat could be recorded: {error}")
            return []
        self._was_silent = False
        return taken

    def _find_taken(self, running: Iterable[RunningAttempt]) -> list[RunningAttempt]:
        record = self._submission.tasks.record_of(self._index)
        self.task_was_ended = record.is_over or record.last_start > self._restart
        return [one for one in running if self.task_was_ended or has_later_claim(self._study, one.job.id, one.attempt)]
