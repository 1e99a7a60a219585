"""Reading what an attempt printed, while it prints or afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.claims import attempts_begun
from seedfold.orchestrator.ledger.copy_origin import home_of
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_lookup import Found
from seedfold.orchestrator.state.job_states import ALIVE
from seedfold.orchestrator.state.overview import Overview

_CHUNK = 1 << 16
_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """The log of one attempt at a job, in the study that holds it."""

    study: Overview
    job: str
    attempt: int

    @property
    def path(self) -> Path:
        """The file, which need not exist yet."""
        return self.study.folder.log(self.job, self.attempt)

    @classmethod
    def find(cls, root: Root, found: Found, attempt: int | None, may_come: bool) -> AttemptLog:
        """Find the log of an attempt, by default of the latest; ``may_come`` accepts one that is about to start.

        Raises UsageError if there is none.
        """
        standing = Overview(root, found.study.name).standings.of(found.job.id)
        latest = attempts_begun(standing.home, found.job.id)
        log = cls(Overview(root, standing.home.name), found.job.id, attempt or max(latest, 1))
        if log.path.exists() or (may_come and standing.state in ALIVE):
            return log
        told = f"the latest is {latest}" if latest else f"the job is {standing.state} and has not run"
        raise UsageError(f"{found.job.short_id}: no log of attempt {log.attempt}; {told}")

    def is_over(self) -> bool:
        """Whether the attempt has ended, or will never begin; in a copy nothing is added."""
        self.study.refresh()
        if home_of(self.study.folder) is not None:
            return True
        later = attempts_begun(self.study.folder, self.job, self.attempt) > self.attempt
        return later or self.study.standings.of(self.job).state not in ALIVE


def whole(log: AttemptLog) -> Iterator[bytes]:
    """Yield the log as it is now."""
    with log.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def follow(log: AttemptLog) -> Iterator[bytes]:
    """Yield the log as it grows, until the attempt is over."""
    position = 0
    while True:
        over = log.is_over()
        if log.path.exists():
            with log.path.open("rb") as file:
                file.seek(position)
                while chunk := file.read(_CHUNK):
                    position += len(chunk)
                    yield chunk
        if over:
            return
        time.sleep(_POLL_S)
