"""The fake's master daemon without its commands: which jobs there are, where and when they run, how they end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence

from clusters.lsf import execution
from clusters.lsf.dependencies import NoSuchJob, UnequalArrays, bind, matching
from clusters.lsf.expressions import Condition, SyntaxFault
from clusters.lsf.jobs import PENDING, Job, Request
from clusters.lsf.oddities import Oddities
from clusters.lsf.running import Running
from clusters.lsf.settings import Host, Settings
from clusters.lsf.submission import Refused


class System(Running):
    """All jobs of one cluster. Needs a running event loop."""

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

    # Where and when they run

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
