"""Reports why a job kills itself: launchers of several processes do so when one of the others has failed.

The kernel would only say that the process was killed. Python tells an audit hook before it sends the signal.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from seedfold.orchestrator.settings.failures import Failure, failure_from_own_kill

_LOG_TAIL_BYTES = 200_000
_ERROR = re.compile(
    r"^(?:\[rank\d+\]: )?Traceback \(most recent call last\):\n(?:(?:\[rank\d+\]: )?[ \t].*\n)+"
    r"(?:\[rank\d+\]: )?(\S.*)$",
    re.MULTILINE,
)


def report_own_kill(report: Callable[[Failure], None], log: Path) -> None:
    """From now on, call ``report`` before this process is killed by itself or by a process that was forked from it."""
    job = os.getpid()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.kill", "os.killpg") and arguments[1] == signal.SIGKILL:
            group = os.getpgid(job)
            targets = (job, 0, -1, -group) if event == "os.kill" else (0, group)
            if arguments[0] in targets:
                report(failure_from_own_kill(last_error(log)))

    sys.addaudithook(hook)


def last_error(log: Path) -> str | None:
    """Return the last line of the last traceback in a log; None if it has none."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        found = _ERROR.findall(file.read().decode(errors="replace"))
    return found[-1].strip() if found else None
