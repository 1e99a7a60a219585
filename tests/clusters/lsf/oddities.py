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
    ``whole_arrays``     bhist -l tells of an array as of one job, without a word on which element is meant
    ``id_heads``         what bjobs -l and bhist -l tell begins with ``Job Id``
    ``unread``           bjobs cannot be answered: a communication error, exit 255
Ending
    ``in_progress``      bkill on an array that runs and waits says ``Operation is in progress``, exit 255, and works
    ``memory_unenforced`` ``-M`` is not looked at
The server
    ``away``             it does not answer; clients say so and go on trying
    ``slow``             seconds that each command, or those named, take longer
    ``hang``             commands that never end

Whether one comes up: ``true`` always; a number below 1, with that probability; ``{"times": 2}``, the next two times.
``slow`` and ``stale`` are seconds or ``{"bjobs": 0.5}``; ``nonsense`` and ``hang`` list commands, or say of each how
often it is: ``{"bjobs": 0.1, "bsub": {"times": 1}}``. All can be switched on together. Of two that would have the same
answer one comes up, and ``hang`` goes before ``away``, that before ``nonsense``, ``hung_reply`` before ``lost_reply``.
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
        self._left: dict[tuple[str, ...], int] = {}
        self._dice = random.Random(0)

    def strikes(self, name: str) -> bool:
        """Whether it comes up this time."""
        return self._comes_up((name,), self.values.get(name, False))

    def concerns(self, name: str, command: str) -> bool:
        """Whether it comes up this time for a command."""
        commands = self.values.get(name, ())
        if not isinstance(commands, dict):
            return command in commands
        return self._comes_up((name, command), commands.get(command, False))

    def lasts(self, name: str) -> bool:
        """Whether it comes up every time, until somebody switches it off."""
        return self.values.get(name) is True

    def _comes_up(self, key: tuple[str, ...], often: Any) -> bool:
        if isinstance(often, dict):
            self._left[key] = self._left.get(key, often["times"]) - 1
            return self._left[key] >= 0
        return self._dice.random() < often if isinstance(often, float) else bool(often)

    def seconds(self, name: str, command: str) -> float:
        value = self.values.get(name, 0)
        return float(value.get(command, 0) if isinstance(value, dict) else value)
