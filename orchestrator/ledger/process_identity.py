"""Identifies a process and checks whether it is alive.

Process ids are used again; with start time and boot id they are unique.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Liveness = Literal["alive", "dead", "unknown"]


@cache
def _boot() -> str:
    """Boot id and process-id namespace: two containers on one host do not see each other's processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None if there is no such process, or only a zombie.

    Raises PermissionError for a process of another user where the system hides those (``hidepid``).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        _raise_if_hidden(pid)
        return None
    # The command's name, in parentheses, may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _raise_if_hidden(pid: int) -> None:
    # Signal 0 is never delivered. The call is refused if the process exists, even if this user cannot see it.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The identity of a process: host, process id, start in clock ticks since boot, boot id with pid namespace."""

    host: str
    pid: int
    start: int
    boot: str

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ProcessIdentity:
        """Read the JSON form. Raises TypeError or ValueError if it is none."""
        process = cls(**record)
        if not all(isinstance(text, str) for text in (process.host, process.boot)):
            raise TypeError(f"process: {record!r:.80}")
        if not all(type(number) is int for number in (process.pid, process.start)) or process.pid <= 0:
            raise TypeError(f"process: {record!r:.80}")
        return process

    @classmethod
    def of_pid(cls, pid: int) -> ProcessIdentity:
        """Identify a living process of this host. Raises ProcessLookupError if there is none."""
        start = _start_ticks(pid)
        if start is None:
            raise ProcessLookupError(pid)
        return cls(os.uname().nodename, pid, start, _boot())

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Identify the calling process."""
        return cls.of_pid(os.getpid())

    def liveness(self) -> Liveness:
        """Return whether the process is alive; ``unknown`` if this host cannot see it."""
        if self.host != os.uname().nodename:
            return "unknown"
        if self.boot != _boot():
            return "dead" if self.boot.split("/")[0] != _boot().split("/")[0] else "unknown"
        try:
            return "alive" if _start_ticks(self.pid) == self.start else "dead"
        except PermissionError:
            return "unknown"

    def send_signal(self, number: int) -> bool:
        """Send a signal; False if this host does not see the process alive, or if it belongs to another user."""
        if self.liveness() != "alive":
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)
