"""A call in a fork of this process, which keeps from this one what the call finds out, imports or starts."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError


@dataclass(frozen=True, slots=True)
class ForkedCall:
    """A call that is going on; ``pipe`` becomes readable when it ends."""

    pid: int
    pipe: int

    def result(self) -> Any:
        """Wait for what the function returns. Raises EOFError if it raised something, or its process was killed."""
        try:
            with os.fdopen(self.pipe, "rb") as told:
                return pickle.load(told)
        finally:
            os.waitpid(self.pid, 0)


def call_in_fork(function: Callable[[], object]) -> ForkedCall:
    """Start a call; its process ends without a trace in this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    readable, writable = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writable)
        return ForkedCall(pid, readable)
    try:
        os.close(readable)
        with os.fdopen(writable, "wb") as pipe:
            pickle.dump(function(), pipe)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def become_command(output: Path, errors: Path, prepare: Callable[[], object], run: Callable[[], object]) -> None:
    """Be the process of a command, which writes to the end of these files; it never returns.

    ``prepare`` makes the process that of its user, and ``run`` is the command.
    """
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for handle, file in ((1, output), (2, errors)):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), handle)
        prepare()
        code = _exit_code(run)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _exit_code(run: Callable[[], object]) -> int:
    """Run a command, and say what it says as `seedfold` does; return how it ends."""
    try:
        run()
    except SeedfoldError as error:
        print(f"seedfold: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
    return 0
