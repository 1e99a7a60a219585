"""Capabilities of an LSF cluster: queues with their limits, hosts.

`doctor` prints them, and submissions are checked first.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.schedulers.answer_numbers import AMOUNT, is_whole
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.lsf import queries
from seedfold.orchestrator.schedulers.lsf.directives import JobRequest, read_memory_unit

_QUEUE_NAME = re.compile(r"^\s*QUEUE:\s*(\S+)", re.MULTILINE)
_DEFAULT_LIMITS = re.compile(r"DEFAULT LIMITS:.*?(?=MAXIMUM LIMITS:|SCHEDULING|USERS:|\Z)", re.DOTALL)
_USERS = re.compile(r"^USERS:[ \t]*(.*)$", re.MULTILINE)
_STATUS = re.compile(r"\b(Open|Closed):(\w+)")
_LIMIT_NAMES = re.compile(r"[A-Z_]{5,}")
_LIMIT_VALUES = re.compile(r"[\d.]+ min(?: of \S+)?|[\d.]+ [KMGT]B?\b|[\d.]+")
_EXCLUDED_HOST = re.compile(r"hname!='?([\w.-]+)'?")
_MB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, with its longest run time in minutes and its largest memory of a job, if it has such limits."""

    name: str
    is_open: bool
    max_minutes: float | None
    max_memory_mb: float | None
    users: tuple[str, ...] = ()

    def admits(self, user: str) -> bool:
        """Whether a user may use the queue, as far as is known: members of a group, marked with a slash, are
        unknown."""
        may_include_user = (name == "all" or name.endswith("/") or name.startswith("~") for name in self.users)
        return not self.users or user in self.users or any(may_include_user)

    def text(self) -> str:
        """Return it as one line of text."""
        limits = []
        if self.max_minutes is not None:
            limits.append(
                f"at most {self.max_minutes / 60:g} h"
                if self.max_minutes >= 60
                else f"at most {self.max_minutes:g} min"
            )
        if self.max_memory_mb is not None:
            limits.append(f"at most {self.max_memory_mb / 1024:g} GB")
        limits += [] if self.is_open else ["closed"]
        return f"{self.name} ({', '.join(limits)})" if limits else self.name


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its slots, and its memory if it is known."""

    name: str
    slots: int
    memory_mb: float | None
    is_up: bool


def find_queues(timeout_s: float) -> list[Queue]:
    """Return the queues, as far as the site lists them. Raises UnreachableError."""
    output = queries.site_output(["bqueues", "-l"], timeout_s)
    names = list(_QUEUE_NAME.finditer(output))
    ends = [head.start() for head in names[1:]] + [len(output)]
    return [_parse_queue(head[1], output[head.end() : end]) for head, end in zip(names, ends, strict=False)]


def _parse_queue(name: str, text: str) -> Queue:
    limits = _parse_limits(text)
    status = _STATUS.search(text)
    minutes = re.match(f"({AMOUNT}) min", limits.get("RUNLIMIT", ""))
    memory = re.fullmatch(f"({AMOUNT}) ([KMGT])B?", limits.get("MEMLIMIT", ""))
    return Queue(
        name=name,
        is_open=status is None or status[1] == "Open",
        max_minutes=float(minutes[1]) if minutes else None,
        max_memory_mb=float(memory[1]) * _MB[memory[2]] if memory else None,
        users=tuple(users[1].split()) if (users := _USERS.search(text)) else (),
    )


def _parse_limits(text: str) -> dict[str, str]:
    """The limits of a queue by name, from lines of names with values below them."""
    limits: dict[str, str] = {}
    for names, values in pairwise(_DEFAULT_LIMITS.sub("", text).splitlines()):
        names_found, values_found = _LIMIT_NAMES.findall(names), _LIMIT_VALUES.findall(values)
        if names_found and len(names_found) == len(values_found):
            limits |= dict(zip(names_found, values_found, strict=True))
    return limits


def find_default_queue(timeout_s: float) -> str | None:
    """The queue of jobs that name none, if the site has such a default."""
    found = re.search(
        r"DEFAULT[_ ]QUEUES?\s*[:=]\s*(\S+)", queries.site_output(["bparams", "-l"], timeout_s), re.IGNORECASE
    )
    return found[1].strip(",;") if found else None


def find_hosts(timeout_s: float) -> list[Host]:
    """Return the hosts that run jobs, as far as the site lists them. Raises UnreachableError."""
    memory = _memory_of_hosts(timeout_s)
    host_list = []
    for line in queries.site_output(["bhosts", "-w"], timeout_s).splitlines():
        fields = line.split()
        if len(fields) >= 5 and is_whole(fields[3]):
            up = not fields[1].startswith(("unavail", "unreach", "closed_Adm"))
            host_list.append(Host(fields[0], int(fields[3]), memory.get(fields[0]), up))
    return host_list


def _memory_of_hosts(timeout_s: float) -> dict[str, float]:
    """The memory of hosts in MB, by name; empty if the site does not list it."""
    lines = queries.site_output(["lshosts", "-w"], timeout_s).splitlines()
    header = lines[0].split() if lines else []
    if "maxmem" not in header:
        return {}
    column, found = header.index("maxmem"), {}
    for fields in map(str.split, lines[1:]):
        amount = re.fullmatch(f"({AMOUNT})([KMGT])B?", fields[column]) if len(fields) > column else None
        if amount:
            found[fields[0]] = float(amount[1]) * _MB[amount[2]]
    return found


def check_dialect(configured: str, timeout_s: float) -> None:
    """Raise UsageError if the newer dialect is configured and this LSF does not have it.

    Every LSF has the older one.
    """
    if configured == "lsf10" and queries.find_dialect(timeout_s) == "classic":
        raise UsageError("cluster.dialect: this LSF is not lsf10 (its bjobs has no option -json); write auto")


def check_request(request: JobRequest, timeout_s: float) -> None:
    """Raise RefusedError for a request that LSF would refuse, or accept and never start, with the alternatives."""
    known = {queue.name: queue for queue in find_queues(timeout_s)}
    # If several queues are named, LSF uses the first that is suitable.
    queue_names = (request.queue or find_default_queue(timeout_s) or "").split()
    unknown = [name for name in queue_names if name not in known]
    if known and unknown and request.queue is not None:
        raise RefusedError(f"there is no queue {unknown[0]}; queues are {', '.join(known)}")
    if len(queue_names) == 1 and not unknown:
        _check_limits(request, known[queue_names[0]], list(known.values()))
    _check_size(request, timeout_s)


def _check_limits(request: JobRequest, queue: Queue, known: list[Queue]) -> None:
    queues_text = f"there is {', '.join(one.text() for one in known)}"
    if not queue.is_open:
        raise RefusedError(f"queue {queue.name} accepts no jobs at present; {queues_text}")
    if not queue.admits(getpass.getuser()):
        raise RefusedError(f"queue {queue.name} is not for you, but for {', '.join(queue.users)}; {queues_text}")
    if queue.max_minutes is not None and request.minutes is not None and request.minutes > queue.max_minutes:
        raise RefusedError(f"queue {queue.name} allows no job to run for {request.minutes} min; {queues_text}")
    if queue.max_memory_mb is not None and request.memory_mb is not None and request.memory_mb > queue.max_memory_mb:
        raise RefusedError(f"queue {queue.name} allows no job to use {request.memory_mb / 1024:.1f} GB; {queues_text}")


def _check_size(request: JobRequest, timeout_s: float) -> None:
    known_hosts = find_hosts(timeout_s)
    excluded = {match[1] for match in map(_EXCLUDED_HOST.fullmatch, request.select) if match}
    if known_hosts and excluded >= {host.name for host in known_hosts}:
        raise RefusedError(f"all hosts are excluded: {', '.join(sorted(excluded))}")
    slots = max((host.slots for host in known_hosts), default=request.cpus)
    if request.cpus > slots:
        raise RefusedError(f"no host has {request.cpus} slots; the largest has {slots}")
    memory = [host.memory_mb for host in known_hosts if host.memory_mb is not None]
    if memory and len(memory) == len(known_hosts) and (request.memory_mb or 0) > max(memory):
        asked, largest = (request.memory_mb or 0) / 1024, max(memory) / 1024
        raise RefusedError(f"no host has {asked:.1f} GB of memory; the largest has {largest:.1f} GB")


def findings(dialect: str, largest_array: int, timeout_s: float) -> Iterator[Finding]:
    """Return what the cluster offers: which LSF it is, queues, hosts, limits."""
    name = "IBM Spectrum LSF 10.1 or later" if dialect == "lsf10" else "a classic LSF, without -json and -gpu"
    yield Finding("ok", "LSF", name)
    for queue in find_queues(timeout_s):
        yield Finding("ok" if queue.is_open else "warning", "queue", queue.text())
    known_hosts = find_hosts(timeout_s)
    up = [host for host in known_hosts if host.is_up]
    text = f"{len(up)} of {len(known_hosts)} up, of up to {max((host.slots for host in known_hosts), default=0)} slots"
    yield Finding("ok" if up else "problem", "hosts", text, "" if up else "ask the site")
    unit = read_memory_unit() or "MB, and limits of memory in KB"
    text = "" if dialect == "lsf10" else f", memory in {unit}"
    yield Finding("ok", "limits", f"arrays of up to {largest_array}{text}")
