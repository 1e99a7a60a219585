"""Runs a command for a caller on another machine, without a terminal that would pass signals on."""

from __future__ import annotations

import os
import signal
import threading
from importlib.metadata import version

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.login.remote_command import CALLER_VERSION, WATCH_STANDARD_INPUT


def check_and_watch_caller() -> None:
    """Prepare a command for a caller on another machine. Raises UsageError if the caller has another version."""
    caller_version = os.environ.pop(CALLER_VERSION, None)
    own_version = version("seedfold")
    if caller_version is not None and caller_version != own_version:
        host = os.uname().nodename
        raise UsageError(
            f"seedfold is {own_version} on {host} and {caller_version} on your"
            " machine; install the same version on both"
        )
    if os.environ.pop(WATCH_STANDARD_INPUT, None):
        _watch_standard_input()


def _watch_standard_input() -> None:
    """Read the caller's signals from standard input, and give the command an empty standard input."""
    caller_input, empty_input = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty_input, 0)
    os.close(empty_input)
    threading.Thread(target=_pass_on_signals, args=(caller_input,), daemon=True).start()


def _pass_on_signals(caller_input: int) -> None:
    """Every byte means a Ctrl-C; the end of the input means that the terminal was closed."""
    while data := os.read(caller_input, 16):
        for _ in data:
            os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGHUP)
