"""How jobs of the fake run and end: limits, signals, suspension, requeues."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

from clusters.lsf import execution
from clusters.lsf.hosts import Hosts
from clusters.lsf.jobs import PENDING, Job
from clusters.lsf.submission import SIGNALS

TICK = 0.1
MEMORY_TICK = 0.5


class Running(Hosts):
    """The jobs of one cluster once they have hosts."""

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


def end_line(job: Job) -> str:
    """How bhist and bjobs tell the end."""
    words = "Done successfully." if job.state == "DONE" else execution.ended_how(job)
    if job.started is None:
        return words
    used = "unknown" if job.cpu is None else f"{job.cpu:.1f} seconds"
    return f"{words} The CPU time used is {used}"
