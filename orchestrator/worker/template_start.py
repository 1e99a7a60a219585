"""Starts of a template process: as a fork of the worker, or as a Python of its own.

What a worker has imported, a template needs as well: a fork has it at once, and takes a hundredth of the time. A worker
can be forked only while it is as good as a fresh process: at its very beginning, before it reads or opens anything, and
if it is nothing but a worker. Later templates of the same worker are started as a Python of their own.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from seedfold.jobs.secret_values import traceback_text
from seedfold.orchestrator.worker import template
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.messages import single_thread_variables


class ChildProcess(Protocol):
    """A child process: what `subprocess.Popen` has of it."""

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""

    def wait(self) -> int:
        """Wait for its end and return its exit code."""

    def kill(self) -> None:
        """Kill it, if it runs."""


@dataclass(frozen=True)
class StartedTemplate:
    """A template, and the worker's ends of its pipes: requests are written, reports are read."""

    process: ChildProcess
    requests: int
    reports: int

    def close(self) -> None:
        """Kill it, whose jobs the kernel kills with it, and close the pipes."""
        self.process.kill()
        self.process.wait()
        os.close(self.requests)
        os.close(self.reports)


class _Fork:
    """A fork of this process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self._reap(0)
        assert code is not None
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self._pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def start_template() -> StartedTemplate:
    """Start a template as a Python of its own."""
    import subprocess

    (requests, ours), (reports, theirs) = os.pipe(), os.pipe()
    # Without -P the current folder would come before the snapshot of the code.
    process = subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", template.__name__, str(theirs), str(os.getpid())],
        stdin=requests,
        pass_fds=[theirs],
        env={**os.environ, **single_thread_variables()},
        start_new_session=True,
    )
    return _keep_our_ends(process, requests, ours, reports, theirs)


def fork_template() -> StartedTemplate | None:
    """Fork a template from this process; None if a child would not be as good as a fresh process."""
    if template.find_fork_hazard():
        return None
    (requests, ours), (reports, theirs) = os.pipe(), os.pipe()
    parent = os.getpid()
    # What stops a worker must not end its template before it ignores these signals.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, template.SIGNALS_OF_WORKER)
    pid = os.fork()
    if pid == 0:
        _become_template(requests, theirs, parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return _keep_our_ends(_Fork(pid), requests, ours, reports, theirs)


def _keep_our_ends(process: ChildProcess, requests: int, ours: int, reports: int, theirs: int) -> StartedTemplate:
    os.close(requests)
    os.close(theirs)
    return StartedTemplate(process, ours, reports)


def _become_template(requests: int, reports: int, parent: int) -> NoReturn:
    """Serve as a template, in a forked child, as a Python of its own would."""
    code = 1
    try:
        os.setsid()
        _forget_worker(requests, reports)
        template.serve(reports, parent)
        atexit._run_exitfuncs()
        code = 0
    except BaseException as error:
        say(traceback_text(error, os.environ), is_error=True)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _forget_worker(requests: int, reports: int) -> None:
    """Undo what a new Python would not have of its parent."""
    atexit._clear()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    os.dup2(requests, 0)
    for handle in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if handle > 2 and handle != reports:
            with suppress(OSError):
                os.close(handle)
    # Processes that a job starts anew import the main module.
    sys.modules["__main__"] = template
    sys.argv[:] = [str(template.__file__)]
