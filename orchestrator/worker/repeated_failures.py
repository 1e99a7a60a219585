"""Identical failures in a row: the rest of a stage would fail in the same way."""

from __future__ import annotations

from seedfold.orchestrator.settings.failures import Failure
from seedfold.orchestrator.worker.log_lines import say


class RepeatedFailures:
    """Counts, for each stage, the identical failures since the last success, up to a ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: dict[str, tuple[str, int]] = {}

    def are_enough(self, stage: str, failure: Failure) -> bool:
        """Add a failure; return whether there were so many identical ones in a row that no more should follow."""
        if failure.kind == "node":
            return False
        digest, count = self._last.get(stage, ("", 0))
        count = count + 1 if digest == failure.digest else 1
        self._last[stage] = failure.digest, count
        if count >= self._limit:
            say(f"stage {stage}: {count} identical failures in a row; its other jobs stay waiting")
        return count >= self._limit

    def forget(self, stage: str) -> None:
        """Begin anew, since a job of the stage has succeeded."""
        self._last.pop(stage, None)
