"""Holds: jobs that no worker begins, although they may be submitted, until a person or their pilot jobs release them.

A ``held`` event names the jobs. With ``pilots``, they are held for the sake of a pilot: these jobs run first. With
``auto`` as well, the hold ends when all pilot jobs are done. Nobody has to record that: it follows from the ledger, so
that all who read it conclude the same. A ``released`` event that is later ends a hold, and so does a cancellation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a job is held: by a person or, if there are ``pilots``, until these jobs were looked at.

    With ``is_auto`` it ends when the pilot jobs are done.
    """

    pilots: Sequence[str] = ()
    is_auto: bool = False

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Hold:
        """Read a ``held`` event."""
        return cls(event.get("pilots", ()), bool(event.get("auto")))


def is_hold(event: Mapping[str, Any]) -> bool:
    """Whether a ``held`` event has what it needs besides its jobs."""
    pilots = event.get("pilots", [])
    return isinstance(pilots, list) and all(isinstance(job, str) for job in pilots)
