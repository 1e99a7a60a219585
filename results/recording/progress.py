"""How far a running job is: one small file in its records, replaced at most twice a second."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass

from seedfold.results.recording.attempt_file import Attempt

_EVERY_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """``done`` of ``total`` parts of the work, epochs for a training, at ``time``.

    ``first_done`` and ``first_time`` belong to the first time that the attempt told it, so that the pace is that of
    this attempt, also where it went on from a checkpoint. Times are in seconds since the epoch.
    """

    done: int
    total: int
    time: float
    first_done: int
    first_time: float

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at the pace so far; None as long as no pace is known."""
        advanced = self.done - self.first_done
        if self.total <= self.done:
            return 0.0
        if advanced <= 0:
            return None
        pace = (self.time - self.first_time) / advanced
        return max(0.0, pace * (self.total - self.done) - (now - self.time))


class ProgressWriter:
    """The function ``progress(done, total)`` of an attempt, which other processes of the job may call as well."""

    def __init__(self, attempt: Attempt) -> None:
        self._file = attempt.progress_file
        self._first: tuple[int, float] | None = None
        self._written_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Write it. A job does not fail because this cannot be written: a warning is logged instead."""
        now = time.time()
        self._first = self._first or (done, now)
        if now - self._written_at < _EVERY_S and done < total:
            return
        self._written_at = now
        temporary = self._file.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(asdict(JobProgress(done, total, now, *self._first))))
            temporary.replace(self._file)
        except OSError as error:
            _log.warning("the progress of the job cannot be written: %s", error)


def read_progress(attempt: Attempt) -> JobProgress | None:
    """Return how far an attempt is; None if it has not told it, or has ended meanwhile."""
    try:
        return JobProgress(**json.loads(attempt.progress_file.read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
