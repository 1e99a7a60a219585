"""The heartbeat of a worker, and what it makes of a silence: meanwhile others may have taken it for dead."""

from __future__ import annotations

import time
from math import inf

from seedfold.orchestrator.ledger.claims import has_later_claim
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import HEARTBEAT_S
from seedfold.orchestrator.worker.log_lines import say
from seedfold.results.store.passing_errors import storage_error

TAKEN = "this worker was silent for so long that others took it for dead"


class Heartbeat:
    """The heartbeat of the worker of one task, (index, restart)."""

    def __init__(self, study: StudyFolder, submission: Submission, index: int, restart: int) -> None:
        self._study, self._submission, self._index, self._restart = study, submission, index, restart
        self._last = -inf

    def beat(self) -> bool:
        """Record a heartbeat, if one is due; return whether the last one was so long ago that others may have acted."""
        if time.monotonic() - self._last < HEARTBEAT_S:
            return False
        self._last = time.monotonic()
        try:
            silent_s = self._submission.tasks.record_heartbeat(self._index, self._restart)
        except OSError as error:
            if storage_error(error) is None:
                raise
            say(f"no heartbeat could be recorded: {error}")
            return False
        if silent_s < self._submission.silent_s:
            return False
        say(f"no heartbeat was recorded for {silent_s:.0f} s; jobs that others have begun again are given up here")
        return True

    def task_was_ended(self) -> bool:
        """Whether somebody else has recorded the end of this task, or it was started again."""
        record = self._submission.tasks.record_of(self._index)
        return record.is_over or record.last_start > self._restart

    def job_was_taken(self, job_id: str, attempt: int) -> bool:
        """Whether somebody else has begun a later attempt at a job."""
        return has_later_claim(self._study, job_id, attempt)
