"""What goes wrong with a mount at the moment. It is written to a file that the process of the mount reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Weather:
    """What goes wrong now: a share of the calls fails with an error number, or every call that needs room does."""

    error: int = 0
    share: float = 0.0
    full: int = 0

    def write(self, file: Path) -> None:
        """Have the mount that looks at ``file`` behave so from now on."""
        temporary = file.with_name(f".{file.name}")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)
