"""Identical failures in a row: the rest of a stage would fail in the same way."""

from __future__ import annotations

from seedfold.orchestrator.settings.failures import Failure


class RepeatedFailures:
    """Counts, for each stage, the identical failures since the last success."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}

    def add(self, stage: str, failure: Failure) -> int:
        """Add a failure; return how many identical ones there were in a row."""
        digest, count = self._last.get(stage, ("", 0))
        count = count + 1 if digest == failure.digest else 1
        self._last[stage] = failure.digest, count
        return count

    def forget(self, stage: str) -> None:
        """Begin anew, since a job of the stage has succeeded."""
        self._last.pop(stage, None)
