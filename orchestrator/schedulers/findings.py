"""What `seedfold doctor` reports on one thing that it examined."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined. ``remedy`` says what to do if it is not ok."""

    level: Level
    topic: str
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the JSON form."""
        return asdict(self)
