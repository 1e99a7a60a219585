"""The names of Seedfold's own functions and classes in the lines of a plan."""

from __future__ import annotations

import re
from collections.abc import Callable

_JOB = '["job",'
_OWN = '"seedfold.'
_OWN_NAME = re.compile(r'(?<=")seedfold(\.\w+)+(?=")')


def named(line: str, name: Callable[[str], str]) -> str:
    """Return a line in which the functions and classes of Seedfold have the ``name`` of another version.

    The line of a job itself has axis values, which are the user's own: addresses are made from them.
    """
    if _OWN not in line or line.startswith(_JOB):
        return line
    return _OWN_NAME.sub(lambda found: name(found[0]), line)
