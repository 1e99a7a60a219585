"""Daemons that outlive the command that starts them.

A daemon is known by its process id *and* the start time of that process, both recorded under ``run/`` of its folder
when it is started. A process id that another process has meanwhile, or a process that has ended and only waits to be
reaped, is not the daemon: it counts as gone and is never signalled.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

START_TIME = 19  # place of the start time among the fields of /proc/PID/stat that follow the name
LOG_LINES = 15


class ClusterError(Exception):
    """The cluster cannot be brought up, or does not do what it was told; the message names the log to read."""


@dataclass(frozen=True)
class Daemon:
    """The daemon called ``name`` that belongs to ``folder``."""

    folder: Path
    name: str

    @property
    def output(self) -> Path:
        """What it prints."""
        return self.folder / "log" / f"{self.name}.out"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        try:
            pid, started = self._record.read_text().split()
        except FileNotFoundError:
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start it in a session of its own, unless it runs."""
        if self.pid is not None:
            return
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise ClusterError(f"{command[0]} is not on the path {environment['PATH']}")
        pid = os.posix_spawn(
            program,
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._record.write_text(f"{pid} {start_time(pid)}\n")

    def wait_ready(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until ``holds()``; raise `ClusterError` when it does not in time, or when the daemon has died."""
        end = time.monotonic() + seconds
        while not holds():
            if self.pid is None:
                raise ClusterError(f"{self.name} has died; {self._told()}")
            if time.monotonic() > end:
                raise ClusterError(f"{self.name} is not ready after {seconds:.0f} s; {self._told()}")
            time.sleep(0.05)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it, if it runs."""
        if (pid := self.pid) is not None:
            signal_process(pid, number)

    def stop(self, seconds: float = 15) -> None:
        """Ask it to end, wait that long, then kill it."""
        self.kill(signal.SIGTERM)
        if not self.wait_gone(seconds):
            self.kill()
            self.wait_gone(seconds)
        self._record.unlink(missing_ok=True)

    def wait_gone(self, seconds: float = 15) -> bool:
        """Wait until it has ended; say whether it has."""
        end = time.monotonic() + seconds
        while self.pid is not None and time.monotonic() < end:
            time.sleep(0.02)
        return self.pid is None

    @property
    def _record(self) -> Path:
        return self.folder / "run" / f"{self.name}.pid"

    def _told(self) -> str:
        logs = [log for log in (self.output, self.output.with_suffix(".log")) if log.exists() and log.stat().st_size]
        ends = ["\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) for log in logs]
        return f"its log is {' and '.join(map(str, logs or [self.output]))}\n" + "\n".join(ends)


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None when there is none or it waits to be reaped."""
    fields = _stat(pid)
    return None if not fields or fields[0] == "Z" else fields[START_TIME]


def descendants(pid: int) -> Iterator[int]:
    """A process and everything that it started, children first."""
    for other in processes():
        fields = _stat(other)
        if fields and int(fields[1]) == pid:
            yield from descendants(other)
    yield pid


def processes() -> list[int]:
    """The process ids of this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def open_files(pid: int) -> list[str]:
    """The paths that a process holds open; none when it has ended or is somebody else's."""
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name stands in parentheses and may hold anything, spaces and parentheses included.
    return text.rpartition(")")[2].split()
