"""The throttle of a study: how many of its jobs may run at a time.

A ``throttled`` event says it, without naming any jobs, and the latest one counts. A ``limit`` of null lifts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(slots=True)
class Throttle:
    """What the events say: the largest number of jobs at a time, None for any number, and since when."""

    limit: int | None = None
    time: float = -inf

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Add a ``throttled`` event to what is known. Of two of the same time, the smaller limit counts."""
        said = (event["t"], -inf if event["limit"] is None else -event["limit"])
        if said > (self.time, -inf if self.limit is None else -self.limit):
            self.time, self.limit = event["t"], event["limit"]


def is_throttle(event: Mapping[str, Any]) -> bool:
    """Whether a ``throttled`` event says a limit, or that there is none."""
    if "limit" not in event:
        return False
    limit = event["limit"]
    return limit is None or (type(limit) is int and limit > 0)
