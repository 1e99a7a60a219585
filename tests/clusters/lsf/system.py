"""The fake's master daemon without its commands: which jobs there are, where and when they run, how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from clusters.lsf import execution
from clusters.lsf.dependencies import NoSuchJob, UnequalArrays, bind, matching
from clusters.lsf.expressions import Condition, SyntaxFault, compare, parse
from clusters.lsf.jobs import PENDING, Job, Request
from clusters.lsf.oddities import Oddities
from clusters.lsf.settings import UNITS, Host, Queue, Settings
from clusters.lsf.submission import SIGNALS, Refused

TICK = 0.1
MEMORY_TICK = 0.5


class System:
    """All jobs of one cluster. Needs a running event loop."""

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

    def reconfigure(self, settings: Settings) -> None:
        """Take on other settings. Jobs stay."""
        if settings.oddities != self.settings.oddities:
            self.oddities = Oddities(settings.oddities)
        self.settings = settings
        self.schedule()

    # Jobs

    def find(self, text: str) -> list[Job]:
        """Those that an id, with indices or without, or a name stands for, and that LSF still knows."""
        return matching([job for job in self.jobs if not self.is_cleaned(job)], text)

    def is_cleaned(self, job: Job) -> bool:
        """Whether bjobs has forgotten the job."""
        return job.finished and time.time() - (job.ended or 0) > self.settings.scaled(self.settings.clean_period)

    @property
    def history(self) -> list[Job]:
        """All jobs that ever were."""
        return [*self.replaced, *self.jobs]

    def submit(self, request: Request) -> list[Job]:
        """Take a job or an array.

        Raises `Refused`.
        """
        try:
            return self._submit(request)
        except Refused:
            if self.oddities.strikes("refused_ids"):
                self._take_id()
            raise

    def _submit(self, request: Request) -> list[Job]:
        self._check(request)
        indices = request.array.indices if request.array else (0,)
        condition = self._condition(request, indices)
        number = self._take_id()
        jobs = [Job(number, index, request, "PSUSP" if request.hold else "PEND") for index in indices]
        if condition:
            self._conditions |= {id(job): condition for job in jobs}
        self.jobs += jobs
        asyncio.get_running_loop().call_later(self.settings.dispatch_seconds, self.schedule)
        return jobs

    def _take_id(self) -> int:
        highest = int(self.oddities.values.get("reused_ids", self.settings.max_id))
        taken = {job.id for job in self.jobs if not job.finished}
        if taken.issuperset(range(self.settings.first_id, highest + 1)):
            raise Refused("All job ids are in use")
        while True:
            number, self._next_id = self._next_id, self._next_id + 1
            if number > highest:
                self._next_id = self.settings.first_id
            elif number not in taken:
                self._replace(number)
                return number

    def _replace(self, number: int) -> None:
        self.replaced += [job for job in self.jobs if job.id == number]
        self.jobs = [job for job in self.jobs if job.id != number]

    def _condition(self, request: Request, indices: Sequence[int]) -> Condition[int] | None:
        if request.dependency is None:
            return None
        try:
            return bind(request.dependency, self.find, indices)
        except NoSuchJob as fault:
            raise Refused(f"{fault}: No matching job found") from None
        except UnequalArrays:
            raise Refused("Dependent arrays do not have the same size") from None
        except (SyntaxFault, ValueError):
            raise Refused("Dependency condition syntax error") from None

    def _check(self, request: Request) -> None:
        """Refuse what LSF refuses at once."""
        queue = self.settings.queues.get(request.queue)
        if queue is None:
            raise Refused(f"{request.queue}: No such queue")
        if not queue.is_open:
            raise Refused(f"{request.queue}: Queue has been closed")
        if queue.users is not None and request.user not in queue.users:
            raise Refused(f"{request.queue}: User cannot use the queue")
        if request.run_limit and queue.run_limit and request.run_limit > 60 * queue.run_limit:
            raise Refused(f"{request.queue}: Cannot exceed queue's hard limit(s)")
        if request.resources.slots > sum(host.slots for host in self._hosts(request).values()):
            raise Refused("Too many processors requested")
        if request.resources.select:
            self._selected("", Host(), request)

    def pending_of(self, user: str) -> int:
        return sum(job.state in PENDING and job.request.user == user for job in self.jobs)

    # Scheduling

    def schedule(self) -> None:
        """Look at what waits, once for all that has happened meanwhile."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._schedule)

    def _schedule(self) -> None:
        """Start what can start now, and note why the rest cannot."""
        self._is_due = False
        now = time.time()
        pending = [job for job in self.jobs if job.state == "PEND"]
        hopeless: dict[int, tuple[str, ...]] = {}
        for job in sorted(pending, key=lambda job: (-self.queue(job).priority, job.id, job.index)):
            reasons = self._why_not_yet(job, now) or hopeless.get(id(job.request)) or self._limits(job)
            job.pending_reasons = tuple(reasons)
            if not reasons:
                self._place(job)
                if job.state == "PEND":  # as is true of the other elements of its array
                    hopeless[id(job.request)] = job.pending_reasons
        self._resume_preempted()

    def queue(self, job: Job) -> Queue:
        return self.settings.queues[job.request.queue]

    def _why_not_yet(self, job: Job, now: float) -> list[str]:
        """What a job waits for, limits and hosts aside."""
        request = job.request
        age = now - job.submitted
        if age < self.settings.dispatch_seconds:
            return ["New job is waiting for scheduling;"]
        if request.begin is not None and age < self.settings.scaled(request.begin):
            return ["Job's specified start time has not been reached;"]
        condition = self._conditions.get(id(job))
        if condition and not (holds := condition(job.index)):
            if holds is False:
                return ["Dependency condition invalid or never satisfied;"]
            return ["Job dependency condition not satisfied;"]
        return []

    def _limits(self, job: Job) -> list[str]:
        def slots(whose: Callable[[Job], bool]) -> int:
            return job.request.resources.slots + sum(sum(other.allocation.values()) for other in self._running(whose))

        user, name, queue, array = job.request.user, job.request.queue, self.queue(job), job.request.array
        if array and array.limit and len(self._running(lambda other: other.id == job.id)) >= array.limit:
            return ["Job array has reached its running element limit;"]
        if exceeds(slots(lambda other: other.request.user == user), self.settings.max_slots_per_user):
            return ["User has reached the per-user job slot limit of the cluster;"]
        if exceeds(slots(lambda other: other.request.queue == name), queue.max_slots):
            return ["Queue's job slot limit has been reached;"]
        ours = slots(lambda other: other.request.queue == name and other.request.user == user)
        if exceeds(ours, queue.max_slots_per_user):
            return ["User has reached the per-user job slot limit of the queue;"]
        return []

    def _running(self, whose: Callable[[Job], bool]) -> list[Job]:
        return [job for job in self._placed if job.holds_slots and whose(job)]

    def _hosts(self, request: Request) -> dict[str, Host]:
        """Those that the queue and the job name."""
        queue = self.settings.queues[request.queue]
        named = request.resources.hosts or tuple(self.settings.hosts)
        allowed = queue.hosts or tuple(self.settings.hosts)
        return {name: self.settings.hosts[name] for name in named if name in allowed}

    def _place(self, job: Job) -> None:
        """Give it hosts and start it, or note why none takes it."""
        usable, reasons = self._usable(job)
        allocation = self._allocate(job, usable)
        if allocation is None and self._preempt_for(job):
            usable, reasons = self._usable(job)
            allocation = self._allocate(job, usable)
        if allocation:
            self._start(job, allocation)
            return
        if usable:
            reasons.setdefault("Job slot limit reached", []).extend(usable)
        job.pending_reasons = tuple(
            f"{reason}: {len(hosts)} host{'s' if len(hosts) > 1 else ''};" for reason, hosts in reasons.items()
        )

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

    def _preempt_for(self, job: Job) -> bool:
        """Take slots from preemptable jobs; whether any became free at once."""
        if self.queue(job).preempted:
            return False
        victims = [
            one for one in self._placed if one.state == "RUN" and self.queue(one).preempted and not one.is_ending
        ]
        needed = job.request.resources.slots
        if not victims or needed > sum(sum(one.allocation.values()) for one in victims):
            return False
        for victim in victims:
            if needed > 0:
                needed -= sum(victim.allocation.values())
                self._preempt(victim)
        return self.settings.preemption == "suspend"

    def _preempt(self, job: Job) -> None:
        if self.settings.preemption == "suspend":
            job.is_preempted = True
            self._suspend(job, "SSUSP", "Suspended: job is preempted by another job")
        else:
            job.requeue = self.settings.preemption == "requeue"
            self.end(job, "TERM_PREEMPT")

    def _resume_preempted(self) -> None:
        for job in [job for job in self._placed if job.state == "SSUSP" and job.is_preempted]:
            if all(self.free_slots(host) >= slots for host, slots in job.allocation.items()):
                job.is_preempted = False
                self.resume(job)

    # Running

    def _start(self, job: Job, allocation: dict[str, int]) -> None:
        job.allocation = allocation
        self._placed.append(job)
        first = next(iter(allocation))
        job.gpus = tuple(self._free_gpus(first)[: job.request.resources.gpus])
        job.state, job.started, job.ended, job.runs = "RUN", time.time(), None, job.runs + 1
        job.exit_code = job.exit_signal = job.cpu = job.reason = None
        job.is_ending = job.is_preempted = False
        job.limit_from, job.pending_reasons = time.monotonic(), ()
        job.pid = execution.start(job, self.folder, self._lsf_variables())
        self._unreaped[job.pid] = job
        hosts = " ".join(f"<{host}>" for host in job.exec_hosts)
        several = f"{len(job.exec_hosts)} Hosts/Processors " if len(job.exec_hosts) > 1 else ""
        home = job.request.environment.get("HOME", "/")
        job.tell(f"Dispatched to {several}{hosts};")
        job.tell(f"Starting (Pid {job.pid});")
        job.tell(f"Running with execution home <{home}>, Execution CWD <{job.request.cwd}>, Execution Pid <{job.pid}>;")
        self._limit(job)

    def _lsf_variables(self) -> dict[str, str]:
        return {
            "LSF_ENVDIR": os.fspath(self.folder / "conf"),
            "LSF_BINDIR": os.fspath(self.folder / "bin"),
            "LSB_EXEC_CLUSTER": "fake",
        }

    def _later(self, job: Job, seconds: float, act: Callable[[], None]) -> None:
        """Do something to this run of a job, if it still goes on then."""
        run = job.runs

        def check() -> None:
            if job.runs == run and job.pid is not None:
                act()

        asyncio.get_running_loop().call_later(seconds, check)

    def _limit(self, job: Job) -> None:
        limit = self.run_limit(job)
        if limit is not None:
            warning = job.request.warning_signal
            before = self.settings.scaled(limit - job.request.warning_time)
            if warning and job.request.warning_time:
                self._at(job, before, lambda: self.signal(job, SIGNALS[warning]))
            self._at(job, self.settings.scaled(limit), lambda: self._limit_reached(job))

    def run_limit(self, job: Job) -> float | None:
        """In seconds, before scaling."""
        queue = self.queue(job).run_limit
        return job.request.run_limit or (60.0 * queue if queue else None)

    def _at(self, job: Job, seconds: float, act: Callable[[], None]) -> None:
        """Do it when the job has run so long; time in suspension does not count."""

        def check() -> None:
            left = job.limit_from + seconds - time.monotonic()
            if job.suspended_since is not None or left > 0:
                self._later(job, max(left, TICK), check)
            elif not job.is_ending:
                act()

        check()

    def _limit_reached(self, job: Job) -> None:
        job.reason = "TERM_RUNLIMIT"
        job.tell("RUNLIMIT termination action initiated (actpid 0);")
        self.signal(job, signal.SIGUSR2)
        self._later(job, self.settings.scaled(self.settings.grace), lambda: self.end(job, "TERM_RUNLIMIT"))

    def signal(self, job: Job, number: int) -> None:
        """Signal the processes of a job, wherever LSF can reach them."""
        if job.pid is not None and not any(host in self.down for host in job.allocation):
            execution.send(job.pid, number)

    def end(self, job: Job, reason: str) -> None:
        """INT, then TERM, then KILL."""
        if job.is_ending:
            return
        job.is_ending, job.reason = True, job.reason or reason
        if job.suspended_since is not None:
            self.resume(job)
        interval = self.settings.scaled(self.settings.terminate_interval)
        for place, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)):
            if place:
                self._later(job, place * interval, lambda number=number: self.signal(job, number))
            else:
                self.signal(job, number)

    def kill(self, job: Job, user: str, reason: str = "TERM_OWNER") -> None:
        """What bkill does."""
        job.tell(f"Signal <KILL> requested by user or administrator <{user}>;")
        if job.state in PENDING:
            job.reason = reason
            self._finish(job, "EXIT", None)
        elif job.state in {"UNKWN", "ZOMBI"}:
            job.state, job.reason = "ZOMBI", reason
        else:
            self.end(job, reason)

    def remove(self, job: Job, user: str) -> None:
        """What ``bkill -r`` does: LSF forgets the job, whether its processes can be reached or not."""
        self.kill(job, user, "TERM_FORCE_ADMIN")
        if not job.finished:
            if job.pid is not None:
                execution.send(job.pid, signal.SIGKILL)
                self._unreaped.pop(job.pid, None)
            self._finish(job, "EXIT", None)

    def begin_requeue(self, job: Job, user: str) -> None:
        """What brequeue does to a job that runs or has ended."""
        job.tell(f"Signal <REQUEUE_PEND> requested by user or administrator <{user}>;")
        job.requeue = True
        if job.finished:
            self._back_to_queue(job)
        else:
            self.end(job, "TERM_REQUEUE_OWNER")

    def suspend(self, job: Job) -> None:
        """What bstop does."""
        if job.state == "PEND":
            job.state = "PSUSP"
        elif job.state == "RUN":
            self._suspend(job, "USUSP", "Suspended by the user or administrator")

    def _suspend(self, job: Job, state: str, why: str) -> None:
        job.state, job.suspended_since = state, time.monotonic()
        job.tell(f"{why};")
        self.signal(job, signal.SIGTSTP if state == "USUSP" else signal.SIGSTOP)
        self.signal(job, signal.SIGSTOP)

    def resume(self, job: Job) -> None:
        """What bresume does."""
        if job.state == "PSUSP":
            job.state = "PEND"
        elif job.suspended_since is not None:
            job.limit_from += time.monotonic() - job.suspended_since
            job.state, job.suspended_since = "RUN", None
            self.signal(job, signal.SIGCONT)
            job.tell("Running;")
        self.schedule()

    # Ending

    def reap(self) -> None:
        """See which jobs' processes have ended."""
        for pid, job in list(self._unreaped.items()):
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                del self._unreaped[pid]
                if job.pid == pid:
                    self._ended(job, status, max(0.1, usage.ru_utime + usage.ru_stime))

    def _ended(self, job: Job, status: int, cpu: float) -> None:
        job.exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        job.exit_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        job.cpu, job.ended = cpu, time.time()
        execution.deliver(job, self.folder, self.host_name, self.settings.tells_exit_reasons)
        if any(host in self.down for host in job.allocation):
            self._ended_unseen[id(job)] = job
        else:
            self._conclude(job)

    def _conclude(self, job: Job) -> None:
        if job.succeeded:
            self._finish(job, "DONE", job.ended)
        else:
            self._finish(job, "EXIT", job.ended)
        values = (*job.request.requeue_exit_values, *self.queue(job).requeue_exit_values)
        if job.requeue or (job.exit_code in values and not job.is_ending):
            self._back_to_queue(job)

    def _finish(self, job: Job, state: str, ended: float | None) -> None:
        job.state, job.ended, job.pid, job.suspended_since = state, ended or time.time(), None, None
        job.is_preempted = False
        self._placed = [one for one in self._placed if one is not job]
        job.tell(end_line(job).removesuffix(".") + ";")
        if job.reason and self.settings.tells_exit_reasons and state == "EXIT":
            job.tell(execution.completed(job))
        self.schedule()

    def _back_to_queue(self, job: Job) -> None:
        """EXIT for a moment, then PEND again."""
        job.in_transit, job.state, job.requeue, job.pid = True, "EXIT", False, None
        self._placed = [one for one in self._placed if one is not job]

        def pend() -> None:
            job.in_transit, job.state = False, "PSUSP" if job.requeue_held else "PEND"
            job.allocation, job.gpus, job.started, job.ended = {}, (), None, None
            job.tell("Pending: Job has been requeued;")
            self.schedule()

        asyncio.get_running_loop().call_later(self.settings.requeue_pause, pend)

    # Looking after it

    def tick(self) -> None:
        """What is not told but looked for."""
        self.reap()
        if any(job.state == "PEND" and job.request.begin is not None for job in self.jobs):
            self.schedule()
        if time.monotonic() - self._memory_looked_at > MEMORY_TICK:
            self._memory_looked_at = time.monotonic()
            self._enforce_memory()

    def _enforce_memory(self) -> None:
        if self.oddities.values.get("memory_unenforced"):
            return
        for job in self._running(lambda job: job.request.memory_limit is not None and job.pid is not None):
            used = sum(process.memory for process in execution.family(job.pid or 0))
            if used > (job.request.memory_limit or 0) and not job.is_ending and job.state == "RUN":
                job.is_ending, job.reason = True, "TERM_MEMLIMIT"
                job.tell("MEMLIMIT termination action initiated (actpid 0);")
                self.signal(job, signal.SIGKILL)

    # Hosts

    def host_down(self, name: str, crashed: bool) -> None:
        """Its daemon is gone; if it crashed, so are its jobs' processes."""
        self.down[name] = crashed
        for job in [job for job in self._placed if name in job.allocation]:
            if crashed:
                execution.send(job.pid or 0, signal.SIGKILL)
            job.tell("Unknown; unable to reach the execution host;")
            job.state = "UNKWN"
            if job.request.rerunnable:
                self._back_to_queue(job)

    def host_up(self, name: str) -> None:
        """Its daemon is back, and tells what it knows."""
        crashed = self.down.pop(name, False)
        self.reap()
        for job in [job for job in self._placed if name in job.allocation and job.state in {"UNKWN", "ZOMBI"}]:
            unseen = self._ended_unseen.pop(id(job), None)
            if unseen or crashed:
                self._lose(job)
            elif job.state == "ZOMBI":
                job.state = "RUN"
                self.end(job, job.reason or "TERM_OWNER")
            else:
                job.state = "RUN"
                job.tell("Running;")
        self.schedule()

    def _lose(self, job: Job) -> None:
        """It ended and nobody saw how."""
        job.cpu = job.exit_code = job.exit_signal = None
        self._finish(job, "EXIT", job.ended)

    def shut_down(self) -> None:
        """Kill what runs, and what ended jobs left running."""
        for pid in {*self._unreaped, *execution.strays(self.folder)}:
            execution.send(pid, signal.SIGKILL)


def exceeds(number: int, limit: int | None) -> bool:
    return limit is not None and number > limit


def end_line(job: Job) -> str:
    """How bhist and bjobs tell the end."""
    words = "Done successfully." if job.state == "DONE" else execution.ended_how(job)
    if job.started is None:
        return words
    used = "unknown" if job.cpu is None else f"{job.cpu:.1f} seconds"
    return f"{words} The CPU time used is {used}"
