"""Work in forked children that are killed after a random while, until one of them gets to its end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

Action = Callable[[], object]


def run_in_child(action: Action, seconds: float | None) -> bool:
    """Do the work in a child, killed after ``life`` seconds if these are given; return whether it got to its end."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the job failed"
    return True


def measure_seconds(action: Action) -> float:
    """How long an undisturbed child takes."""
    start = time.monotonic()
    assert run_in_child(action, None)
    return time.monotonic() - start


def kill_repeatedly(
    action: Action, reset: Action, *, min_kills: int, max_kills: int, max_seconds: float, generator: random.Random
) -> None:
    """Kill at least ``fewest`` children in a row, at the most ``most``, and let the next one get to its end.

    Work that ends before it was killed often enough is forgotten and begins anew, and its children live half as long as
    the ``longest`` seconds: how fast a busy machine is changes from one second to the next.
    """
    kills = -1
    while kills < min_kills:
        reset()
        kills = 0
        while not run_in_child(action, generator.uniform(0.0, max_seconds) if kills < max_kills else None):
            kills += 1
        max_seconds /= 2
