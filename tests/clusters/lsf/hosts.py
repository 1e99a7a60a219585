"""The hosts of the fake: what of them is taken, and which of them a job may have."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path

from clusters.lsf.expressions import Condition, SyntaxFault, compare, parse
from clusters.lsf.jobs import Job, Request
from clusters.lsf.oddities import Oddities
from clusters.lsf.settings import UNITS, Host, Queue, Settings
from clusters.lsf.submission import Refused


class Hosts(ABC):
    """All jobs of one cluster, and the hosts that some of them have."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.oddities = Oddities(settings.oddities)
        self.jobs: list[Job] = []
        self.replaced: list[Job] = []
        self.host_name = socket.gethostname()
        self.down: dict[str, bool] = {}
        """Hosts whose daemon does not answer, and whether their jobs' processes are gone as well."""
        self._conditions: dict[int, Condition[int]] = {}
        self._placed: list[Job] = []
        """Jobs that have hosts, so that nobody has to look through all others."""
        self._next_id = settings.first_id
        self._unreaped: dict[int, Job] = {}
        self._ended_unseen: dict[int, Job] = {}
        self._memory_looked_at = 0.0
        self._is_due = False
        (folder / "spool").mkdir(exist_ok=True)

    def queue(self, job: Job) -> Queue:
        return self.settings.queues[job.request.queue]

    def _running(self, whose: Callable[[Job], bool]) -> list[Job]:
        return [job for job in self._placed if job.holds_slots and whose(job)]

    def _hosts(self, request: Request) -> dict[str, Host]:
        """Those that the queue and the job name."""
        queue = self.settings.queues[request.queue]
        named = request.resources.hosts or tuple(self.settings.hosts)
        allowed = queue.hosts or tuple(self.settings.hosts)
        return {name: self.settings.hosts[name] for name in named if name in allowed}

    def _usable(self, job: Job) -> tuple[dict[str, int], dict[str, list[str]]]:
        """Free slots by host, and the reasons against the other hosts."""
        usable: dict[str, int] = {}
        reasons: dict[str, list[str]] = {}
        ours = self._hosts(job.request)
        for name, host in self.settings.hosts.items():
            if reason := self._against(name, host, job, ours):
                reasons.setdefault(reason, []).append(name)
            else:
                usable[name] = self.free_slots(name)
        return usable, reasons

    def _against(self, name: str, host: Host, job: Job, ours: Iterable[str]) -> str | None:
        wanted = job.request.resources
        if name not in ours:
            return "Not specified in job submission"
        if name in self.down:
            return "Unable to reach slave batch server"
        if wanted.select and not self._selected(name, host, job.request):
            return "Job's resource requirements not satisfied"
        if wanted.memory > host.memory - self._used(name, lambda job: job.request.resources.memory):
            return "Job's requirements for resource reservation not satisfied (Resource: mem)"
        if wanted.gpus > len(self._free_gpus(name)) or (wanted.gpus and wanted.gpu_memory > host.gpu_memory):
            return "Job's requirements for reserving resource (ngpus_physical) not satisfied"
        return None if self.free_slots(name) > 0 else "Job slot limit reached"

    def free_slots(self, host: str) -> int:
        return self.settings.hosts[host].slots - self._used(host, lambda job: job.allocation[host])

    def _used(self, host: str, amount: Callable[[Job], int]) -> int:
        return sum(amount(job) for job in self._running(lambda job: host in job.allocation))

    def _free_gpus(self, host: str) -> list[int]:
        taken = {gpu for job in self._running(lambda job: host in job.allocation) for gpu in job.gpus}
        return [gpu for gpu in range(self.settings.hosts[host].gpus) if gpu not in taken]

    def _allocate(self, job: Job, usable: dict[str, int]) -> dict[str, int] | None:
        wanted = job.request.resources.slots
        roomiest = max(usable, key=lambda name: usable[name], default="")
        if usable.get(roomiest, 0) >= wanted:
            return {roomiest: wanted}
        if job.request.resources.one_host or sum(usable.values()) < wanted:
            return None
        allocation = {}
        for name, free in usable.items():
            if wanted:
                allocation[name] = min(free, wanted)
                wanted -= allocation[name]
        return allocation

    def _selected(self, name: str, host: Host, request: Request) -> bool:
        """Whether a host is what ``select[…]`` asks for; `Refused` when that cannot be understood."""
        facts = {
            "hname": name,
            "mem": host.memory / self.settings.reserved_unit,
            "maxmem": host.memory / self.settings.reserved_unit,
        }
        facts |= {"ncpus": host.slots, "ngpus": host.gpus, "type": "X86_64", "model": "X86_64", "ut": 0, "tmp": 1e9}
        facts |= {"swp": 1e9, "r15s": 0, "r1m": 0, "r15m": 0}

        def leaf(name: str, arguments: list[str]) -> Condition[None]:
            if not arguments or name not in facts or arguments[0] not in {">", "<", ">=", "<=", "==", "!=", "="}:
                raise Refused("Bad resource requirement syntax")
            holds = self._fact_holds(facts[name], *arguments)
            return lambda _: holds

        try:
            return bool(parse(request.resources.select, leaf)(None))
        except SyntaxFault:
            raise Refused("Bad resource requirement syntax") from None

    def _fact_holds(self, fact: object, sign: str, value: str) -> bool:
        if isinstance(fact, str):
            return value == "any" or (fact == value) is (sign in {"=", "=="})
        number, unit = value.rstrip("KMGTB"), value.lstrip("0123456789.")
        try:
            return compare(
                sign, float(str(fact)), float(number) * (UNITS[unit] / self.settings.reserved_unit if unit else 1)
            )
        except (ValueError, KeyError):
            raise Refused("Bad resource requirement syntax") from None

    @abstractmethod
    def schedule(self) -> None:
        """See soon which jobs can start."""
