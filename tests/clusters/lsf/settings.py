"""What a fake LSF is like: its dialect, hosts, queues and limits, and how it misbehaves.

The settings lie in a file of the cluster's folder. They may be changed while it is up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Dialect = Literal["lsf10", "classic"]
UNITS = {"KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True)
class Host:
    """A host; what it has is a claim."""

    slots: int = 4
    memory: int = 64 * 1024**3
    gpus: int = 2
    gpu_memory: int = 16 * 1024**3


@dataclass(frozen=True)
class Queue:
    """A queue; ``run_limit`` is in minutes. ``preempted`` by all queues that are not."""

    priority: int = 30
    run_limit: int | None = None
    hosts: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    is_open: bool = True
    preempted: bool = False
    requeue_exit_values: tuple[int, ...] = ()
    max_slots: int | None = None
    max_slots_per_user: int | None = None


def default_hosts() -> dict[str, Host]:
    return {"n1": Host(), "n2": Host()}


def default_queues() -> dict[str, Queue]:
    return {
        "gpu": Queue(priority=40),
        "short": Queue(priority=35, run_limit=10),
        "normal": Queue(priority=30),
        "low": Queue(priority=20, preempted=True, requeue_exit_values=(99,)),
    }


@dataclass(frozen=True)
class Settings:
    """Of one cluster.

    ``time_scale`` shrinks what LSF counts in minutes or seconds: limits, warnings, intervals, start times.
    ``exit_reasons`` says whether ends are told as ``TERM_RUNLIMIT`` and the like; None: as the dialect is used to.
    ``starts_in`` is in how many seconds the simulation of starts expects each pending job to start; None: it is off.
    ``oddities`` are documented in `clusters.lsf.oddities`.
    """

    dialect: Dialect = "lsf10"
    hosts: dict[str, Host] = field(default_factory=default_hosts)
    queues: dict[str, Queue] = field(default_factory=default_queues)
    default_queue: str = "normal"
    time_scale: float = 1.0
    terminate_interval: float = 10.0
    grace: float = 600.0
    clean_period: float = 3600.0
    requeue_pause: float = 0.2
    dispatch_seconds: float = 0.0
    max_job_array_size: int = 1000
    first_id: int = 101
    max_id: int = 999_999
    unit_for_limits: str | None = None
    max_pending: int | None = None
    max_slots_per_user: int | None = None
    preemption: Literal["suspend", "terminate", "requeue"] = "suspend"
    exit_reasons: bool | None = None
    starts_in: float | None = None
    oddities: dict[str, Any] = field(default_factory=dict)

    @property
    def classic(self) -> bool:
        return self.dialect == "classic"

    @property
    def tells_exit_reasons(self) -> bool:
        return not self.classic if self.exit_reasons is None else self.exit_reasons

    @property
    def limit_unit(self) -> int:
        """In bytes: that of ``-M``, where a number bears none."""
        return UNITS[self.unit_for_limits or "KB"]

    @property
    def reserved_unit(self) -> int:
        """In bytes: that of ``rusage[mem=…]``, where a number bears none."""
        return UNITS[self.unit_for_limits or "MB"]

    def scaled(self, seconds: float) -> float:
        return seconds * self.time_scale

    def write(self, file: Path) -> None:
        """Put it in place of what the file has."""
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(file)

    @classmethod
    def read(cls, file: Path) -> Settings:
        """As the file has it."""
        values = json.loads(file.read_text())
        values["hosts"] = {name: Host(**host) for name, host in values["hosts"].items()}
        values["queues"] = {name: queue(values) for name, values in values["queues"].items()}
        return cls(**values)


def queue(values: dict[str, Any]) -> Queue:
    """From JSON, which has no tuples."""
    return Queue(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
