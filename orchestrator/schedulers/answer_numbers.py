"""Numbers in the answers of schedulers. What is too long, or written with other digits, is no number."""

from __future__ import annotations

import re

WHOLE = r"[0-9]{1,18}"
AMOUNT = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
"""Regular expressions of what `int` and `float` can read."""
_WHOLE = re.compile(WHOLE)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number that is not negative."""
    return _WHOLE.fullmatch(text) is not None
