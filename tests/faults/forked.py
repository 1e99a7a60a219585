"""A call in a fork of this process, which keeps from this one what the call finds out, imports or starts."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
