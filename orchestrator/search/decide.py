"""What a search does next: start a trial, train a paused one for longer, or give one up.

A decision follows from the settings, the history and its own number alone, so that everybody who asks at the same
moment gets the same answer, and a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DecisionKind = Literal["start", "promote", "prune", "retry"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One step of a search.

    ``start`` begins a trial, ``promote`` lets a paused one go on, ``retry`` tries a failed one again; each is trained
    until it has seen ``epochs`` epochs (None: to the end). ``prune`` gives up a trial: one that runs is asked to stop,
    and the checkpoints of one that is paused are no longer needed.
    """

    kind: DecisionKind
    trial: int
    params: Mapping[str, Any]
    rung: int = 0
    epochs: int | None = None
