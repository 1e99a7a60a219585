"""The processes of a study: found by what is in their environment, told apart by their names and command lines."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seedfold.orchestrator.worker.template import JOB_NAME, TEMPLATE_NAME


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a study started: what it is, and on which host."""

    pid: int
    what: str
    host: str

    def send(self, number: int) -> None:
        """Send a signal, if it lives."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def find_processes(folder: Path) -> list[Process]:
    """Every process that was started by commands in ``folder`` and lives; commands themselves are not among them."""
    return list(_find(f"DRILL={folder}".encode()))


def _find(mark: bytes) -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            if mark not in variables:
                continue
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            name, state = (entry / "comm").read_text().strip(), _state(entry)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state not in "ZX":
            host = next((line[11:].decode() for line in variables if line.startswith(b"DRILL_HOST=")), "")
            yield Process(int(entry.name), _what(name, command), host)


def _state(entry: Path) -> str:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0]


def _what(name: str, command: str) -> str:
    if name in (JOB_NAME, TEMPLATE_NAME):
        return "job" if name == JOB_NAME else "template"
    if "seedfold.orchestrator.worker.job_group" in command:
        return "job"
    if "seat:work" in command or "submitit" in command or "scheduled" in command:
        return "worker"
    return command.replace("\0", " ")[:80]


def kill_all(folder: Path, host: str | None = None) -> None:
    """Kill every process of a study, or those of one host, until there is none."""
    while found := [one for one in find_processes(folder) if host is None or one.host == host]:
        for process in found:
            process.send(signal.SIGKILL)
