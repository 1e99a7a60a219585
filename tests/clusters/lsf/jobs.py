"""A job, or one element of an array, as the fake LSF knows it. Pure values."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FINISHED = frozenset({"DONE", "EXIT"})
PENDING = frozenset({"PEND", "PSUSP"})
SUSPENDED = frozenset({"PSUSP", "USUSP", "SSUSP"})

REASONS = {
    "TERM_RUNLIMIT": "job killed after reaching LSF run time limit",
    "TERM_MEMLIMIT": "job killed after reaching LSF memory usage limit",
    "TERM_OWNER": "job killed by owner",
    "TERM_ADMIN": "job killed by root or LSF administrator",
    "TERM_FORCE_ADMIN": "job killed by root or LSF administrator without time for cleanup",
    "TERM_PREEMPT": "job killed after preemption",
    "TERM_REQUEUE_OWNER": "job killed and requeued by owner",
}


@dataclass(frozen=True)
class Array:
    """What stands in the brackets of a job's name: the indices, and how many run at a time."""

    indices: tuple[int, ...]
    limit: int | None = None
    step: int = 1


@dataclass(frozen=True)
class Resources:
    """What a job asks of hosts; memory in bytes. ``select`` is as written."""

    slots: int = 1
    memory: int = 0
    gpus: int = 0
    gpu_memory: int = 0
    gpus_are_told: bool = False
    select: str = ""
    one_host: bool = False
    hosts: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Request:
    """What bsub was asked for. Times in seconds as written, before they are scaled."""

    command: str
    user: str
    cwd: str
    environment: dict[str, str]
    queue: str
    queue_was_named: bool
    name: str = ""
    array: Array | None = None
    resources: Resources = Resources()
    run_limit: float | None = None
    memory_limit: int | None = None
    output: str | None = None
    error: str | None = None
    output_overwrites: bool = False
    error_overwrites: bool = False
    input: str | None = None
    dependency: str | None = None
    hold: bool = False
    begin: float | None = None
    group: str = ""
    project: str = "default"
    rerunnable: bool = False
    requeue_exit_values: tuple[int, ...] = ()
    warning_signal: str | None = None
    warning_time: float = 0.0
    interactive: bool = False
    wait: bool = False
    direct_output: bool = False

    @property
    def shown_command(self) -> str:
        """A script's lines are told as one."""
        return self.command.strip().replace("\n", ";")

    @property
    def shown_name(self) -> str:
        """LSF calls a job without a name by its command."""
        return self.name or self.command.strip().partition("\n")[0]


@dataclass
class Event:
    """Something that happened to a job, as bhist tells it."""

    time: float
    text: str


@dataclass(eq=False)
class Job:
    """One job or one element of an array; ``index`` is 0 for the former."""

    id: int
    index: int
    request: Request
    state: str = "PEND"
    submitted: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    allocation: dict[str, int] = field(default_factory=dict)
    gpus: tuple[int, ...] = ()
    pid: int | None = None
    runs: int = 0
    exit_code: int | None = None
    exit_signal: int | None = None
    cpu: float | None = None
    reason: str | None = None
    pending_reasons: tuple[str, ...] = ("New job is waiting for scheduling;",)
    suspended_since: float | None = None
    limit_from: float = 0.0
    is_ending: bool = False
    is_preempted: bool = False
    requeue: bool = False
    requeue_held: bool = False
    in_transit: bool = False
    shown_as: str | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def label(self) -> str:
        """``105`` or ``105[3]``."""
        return f"{self.id}[{self.index}]" if self.index else str(self.id)

    @property
    def name(self) -> str:
        name = self.request.shown_name
        return f"{name}[{self.index}]" if self.index else name

    @property
    def finished(self) -> bool:
        """For good; while a job is requeued it only looks so."""
        return self.state in FINISHED and not self.in_transit

    @property
    def succeeded(self) -> bool:
        """Whether its processes ended, and ended well."""
        return self.cpu is not None and not self.exit_code and not self.exit_signal

    @property
    def holds_slots(self) -> bool:
        return self.state in {"RUN", "USUSP", "UNKWN", "ZOMBI"} or (self.state == "SSUSP" and not self.is_preempted)

    @property
    def exec_hosts(self) -> list[str]:
        """One name for each slot."""
        return [host for host, slots in self.allocation.items() for _ in range(slots)]

    def tell(self, text: str) -> None:
        self.events.append(Event(time.time(), text))

    def expand(self, path: str) -> str:
        """A file's name with the job's numbers in it."""
        return path.replace("%J", str(self.id)).replace("%I", str(self.index))
