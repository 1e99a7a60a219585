"""Work in forked children that are killed after a random while, until one of them gets to its end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

Work = Callable[[], object]


def attempt(work: Work, life: float | None) -> bool:
    """Do the work in a child, killed after ``life`` seconds if these are given; return whether it got to its end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if life is not None:
        time.sleep(life)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the job failed"
    return True


def seconds_of(work: Work) -> float:
    """How long an undisturbed child takes."""
    start = time.monotonic()
    assert attempt(work, None)
    return time.monotonic() - start


def kill(work: Work, forget: Work, *, fewest: int, most: int, longest: float, chance: random.Random) -> None:
    """Kill at least ``fewest`` children in a row, at the most ``most``, and let the next one get to its end.

    Work that ends before it was killed often enough is forgotten and begins anew, and its children live half as long as
    the ``longest`` seconds: how fast a busy machine is changes from one second to the next.
    """
    kills = -1
    while kills < fewest:
        forget()
        kills = 0
        while not attempt(work, chance.uniform(0.0, longest) if kills < most else None):
            kills += 1
        longest /= 2
