"""Identifies a process and checks whether it is alive.

Process ids are used again; with start time and boot id they are unique. Two machines may have one host name, and even
one machine id, as clones and containers do.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Liveness = Literal["alive", "dead", "unknown"]


_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Boot:
    """One boot of a machine: its id, when it began in seconds since the epoch, and the id of the machine.

    ``namespace`` is that of the process ids: two containers on one host do not see each other's processes. An identity
    of an earlier version has neither machine nor time.
    """

    id: str
    namespace: str = ""
    machine: str = ""
    began: str = ""

    def is_earlier_boot_of(self, other: _Boot, start: int) -> bool:
        """Whether ``other`` is a later boot of the same machine.

        A process that began, ``start`` ticks after its boot, when the other was up already, is on another machine.
        """
        if not (self.machine and self.machine == other.machine and self.began.isdecimal() and other.began.isdecimal()):
            return False
        return int(self.began) + start / _TICKS_PER_S < int(other.began)


@cache
def _boot() -> str:
    """This boot, as text: id, namespace, machine and time, with slashes between them."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}/{_machine_id()}/{began[1] if began else ''}"


def _machine_id() -> str:
    """The id of this machine; an empty text where it has none, as many containers."""
    try:
        text = Path("/etc/machine-id").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if _MACHINE_ID.fullmatch(text) else ""


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
    """The identity of a process: host, process id, start in clock ticks since boot, and the boot as text."""

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

    def is_of_this_boot(self) -> bool:
        """Whether it is a process of this host since it was booted, which this process would see."""
        return self.host == os.uname().nodename and self.boot == _boot()

    def liveness(self) -> Liveness:
        """Return whether the process is alive; ``unknown`` if this host cannot see it."""
        if self.host != os.uname().nodename:
            return "unknown"
        theirs, ours = (_Boot(*text.split("/")[:4]) for text in (self.boot, _boot()))
        if theirs.id != ours.id:
            return "dead" if theirs.is_earlier_boot_of(ours, self.start) else "unknown"
        if theirs.namespace != ours.namespace:
            return "unknown"
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
