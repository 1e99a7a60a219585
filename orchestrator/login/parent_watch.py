"""A command that runs here for somebody who sits elsewhere, without a terminal that would pass signals on."""

from __future__ import annotations

import os
import signal
import threading
from importlib.metadata import version

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.login.remote_command import CALLER, LEASH


def serve_caller() -> None:
    """Do what a caller elsewhere asks for beside its command. Raises UsageError if it is of another version."""
    caller = os.environ.pop(CALLER, None)
    own = version("seedfold")
    if caller is not None and caller != own:
        host = os.uname().nodename
        raise UsageError(f"seedfold is {own} on {host} and {caller} where you called it; install the same on both")
    if os.environ.pop(LEASH, None):
        _hold()


def _hold() -> None:
    """Take standard input for what the caller has to say, and leave the command an empty one."""
    line, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_listen, args=(line,), daemon=True).start()


def _listen(line: int) -> None:
    """Every byte is a Ctrl-C; the end is that of a terminal."""
    while data := os.read(line, 16):
        for _ in data:
            os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGHUP)
