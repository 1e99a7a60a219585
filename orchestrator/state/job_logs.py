"""Reading the log of an attempt, while the attempt runs or afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.claims import latest_attempt_number
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_lookup import FoundJob
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import Overview

_CHUNK_BYTES = 1 << 16
_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """The log of one attempt at a job, in the study that holds it."""

    overview: Overview
    job_id: str
    attempt: int

    @property
    def path(self) -> Path:
        """The file, which need not exist yet."""
        return self.overview.folder.log_file(self.job_id, self.attempt)

    @classmethod
    def find(cls, root: Root, found_job: FoundJob, attempt: int | None, allow_pending: bool) -> AttemptLog:
        """Find the log of an attempt, by default of the latest; ``allow_pending`` accepts one that is about to start.

        Raises UsageError if there is none.
        """
        job_state = Overview(root, found_job.study.name).states.of(found_job.job.id)
        latest = latest_attempt_number(job_state.holding_study, found_job.job.id)
        log = cls(Overview(root, job_state.holding_study.name), found_job.job.id, attempt or max(latest, 1))
        if log.path.exists() or (allow_pending and job_state.state in ACTIVE_STATES):
            return log
        if job_state.state == "done" and log.attempt == job_state.attempt:
            # Its log was empty.
            return log
        attempts_text = f"its latest attempt is {latest}" if latest else f"the job is {job_state.state} and has not run"
        raise UsageError(f"{found_job.job.short_id}: no log of attempt {log.attempt}; {attempts_text}")

    def is_over(self) -> bool:
        """Whether the attempt has ended, or will never begin. The log of a copy never grows."""
        self.overview.refresh()
        if read_copy_origin(self.overview.folder) is not None:
            return True
        later = latest_attempt_number(self.overview.folder, self.job_id, self.attempt) > self.attempt
        return later or self.overview.states.of(self.job_id).state not in ACTIVE_STATES


def read_log(log: AttemptLog) -> Iterator[bytes]:
    """Yield the log as it is now; nothing if there is none, because the job has printed nothing."""
    if not log.path.exists():
        return
    with log.path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def follow_log(log: AttemptLog) -> Iterator[bytes]:
    """Yield the log as it grows, until the attempt is over."""
    position = 0
    while True:
        over = log.is_over()
        if log.path.exists():
            with log.path.open("rb") as file:
                file.seek(position)
                while chunk := file.read(_CHUNK_BYTES):
                    position += len(chunk)
                    yield chunk
        if over:
            return
        time.sleep(_POLL_S)
