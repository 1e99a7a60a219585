"""Lines in the log of a worker, a template or a job."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str, *, is_error: bool = False) -> None:
    """Print into the log of this process. On a full disk the text is lost; what counts is recorded elsewhere."""
    with suppress(OSError):
        print(text.removesuffix("\n"), file=sys.stderr if is_error else sys.stdout, flush=True)
