"""Lines in the log of a worker, a template or a job."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def say(text: str, *, is_error: bool = False) -> None:
    """Print into the log of this process. On a full disk the text is lost; what counts is recorded elsewhere."""
    with suppress(OSError):
        print(text.removesuffix("\n"), file=sys.stderr if is_error else sys.stdout, flush=True)


def remove_empty_log(log: Path) -> None:
    """Remove the log of an attempt that has printed nothing: where jobs are many and short, files count."""
    with suppress(OSError):
        if not log.stat().st_size:
            log.unlink()
