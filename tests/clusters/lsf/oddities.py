"""How the fake misbehaves, by name; each was seen on a server that speaks LSF, or is documented by IBM.

Submission
    ``noise``            other lines before and after what bsub prints, and warnings of all others
    ``lost_reply``       bsub's job is taken, and bsub says that it could not reach the server
    ``hung_reply``       bsub's job is taken, and bsub never returns
    ``refused_ids``      a job that is refused takes an id all the same
    ``late_submissions`` what was submitted while the server was ``away`` goes through when it is back
    ``reused_ids``       a number: the highest job id; then they begin anew, those of finished jobs are given again
Asking
    ``random_order``     rows in any order
    ``stale``            seconds by which what bjobs tells is behind
    ``no_noheader``      bjobs has no option ``-noheader``
    ``nonsense``         commands that print what is no answer and exit 0
    ``no_history``       bhist cannot open its file
    ``unread``           bjobs cannot be answered: a communication error, exit 255
Ending
    ``in_progress``      bkill on an array that runs and waits says ``Operation is in progress``, exit 255, and works
    ``memory_unenforced`` ``-M`` is not looked at
The server
    ``away``             it does not answer; clients say so and go on trying
    ``slow``             seconds that each command, or those named, take longer
    ``hang``             commands that never end

Whether one comes up: ``true`` always; a number below 1, with that probability; ``{"times": 2}``, the next two times.
``slow`` and ``stale`` are seconds or ``{"bjobs": 0.5}``; ``nonsense`` and ``hang`` list commands.
"""

from __future__ import annotations

import random
from typing import Any

NAMES = frozenset(word.strip("`") for line in (__doc__ or "").splitlines() for word in line.split()[:1] if "``" in word)


class Oddities:
    """Those that are switched on, and how often each has come up."""

    def __init__(self, values: dict[str, Any]) -> None:
        if unknown := set(values) - NAMES:
            raise ValueError(f"no such oddity: {', '.join(sorted(unknown))}; there are {', '.join(sorted(NAMES))}")
        self.values = values
        self._left = {name: value["times"] for name, value in values.items() if is_counted(value)}

    def strikes(self, name: str) -> bool:
        """Whether it comes up this time."""
        value = self.values.get(name, False)
        if name in self._left:
            self._left[name] -= 1
            return bool(self._left[name] >= 0)
        return random.random() < value if isinstance(value, float) else bool(value)

    def concerns(self, name: str, command: str) -> bool:
        """Whether a command is among those named."""
        return command in self.values.get(name, ())

    def seconds(self, name: str, command: str) -> float:
        value = self.values.get(name, 0)
        return float(value.get(command, 0) if isinstance(value, dict) else value)


def is_counted(value: Any) -> bool:
    return isinstance(value, dict) and "times" in value
