"""One worker: takes up a task of a submission and gets its jobs done in the places of its seat.

It starts what is ready, records what happened, and tries again what the policies allow. It ends when nothing is left
that it could do. It may be killed at any instant: its jobs die with it, and the ledger says how far they came.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from math import inf

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.checkpoint_progress import progressed
from seedfold.orchestrator.ledger.claims import attempts_begun, is_published
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.slot_waits import tell_wait
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import Failure, Policies, died
from seedfold.orchestrator.state.job_states import Standings, unnoticed
from seedfold.orchestrator.worker.environment import Interruption, Seat
from seedfold.orchestrator.worker.job_queue import Queue, Shape, shape_of
from seedfold.orchestrator.worker.messages import Message, Request
from seedfold.orchestrator.worker.oom_counters import oom_kills
from seedfold.orchestrator.worker.parent_death import signal_group
from seedfold.orchestrator.worker.slots import Slot
from seedfold.orchestrator.worker.template_client import Spawner, named_callables

TICK_S = 0.5
_CANCELLED = "cancelled"
BEAT_S = 30.0
# Who ends a whole task, such as a node that shuts down, kills its processes one by one: it means the job only if the
# worker is still there so many seconds later.
_OUTLIVES_S = 3.0


@dataclass(slots=True)
class _Running:
    """One attempt at work."""

    job: JobDescription
    attempt: int
    slot: Slot
    oom_kills: int = field(default_factory=oom_kills)
    since: float = field(default_factory=time.time)
    pid: int | None = None
    last: Message | None = None
    killed: str | None = None


class Worker:
    """Works on one task of one submission of one study."""

    def __init__(self, root: Root, study: StudyFolder, submission: Submission, seat: Seat) -> None:
        settings = submission.settings
        self.root, self.study, self.submission, self.seat = root, study, submission, seat
        self.policies = Policies.parse(settings["failures"])
        self.standings = Standings(root, Ledger(study), self.policies)
        cluster = Cluster.parse(settings["cluster"])
        self.machine = seat.machine(cluster, study.path)
        self.waits_for = ""
        self.events = EventWriter(study.events)
        self.grace_s = cluster.grace_s
        self.jobs = [self.standings.ledger.plans.jobs[job] for job in submission.jobs_of(seat.index)]
        self.queue = Queue(self.jobs, self.standings, patient=not seat.scheduled)
        self.running: dict[str, _Running] = {}
        self.identical: dict[str, tuple[str, int]] = {}
        self.kill_at: float | None = None
        self.looked_at = -inf
        self.interruption: Interruption | None = None
        self.spawner = Spawner(cluster.warm, sorted({name for job in self.jobs for name in named_callables(job)}))

    def run(self) -> None:
        """Work until nothing is left to do, or until asked to stop."""
        for number in self.seat.signals:
            signal.signal(number, lambda received, _: self.stop(received))
        beaten = 0.0
        try:
            self._tell_of_earlier_starts()
            while self._step():
                if time.monotonic() - beaten > BEAT_S:
                    self.submission.tasks.beat(self.seat.index, self.seat.restart)
                    beaten = time.monotonic()
        finally:
            self.spawner.close()
            self.events.close()
        self._leave()

    def stop(self, received: int) -> None:
        """First call: have running jobs write a checkpoint and start no more. Second call: kill them.

        A scheduler kills by itself, and may send several signals that mean the same.
        """
        now, why = time.monotonic(), self.seat.interruption(received)
        if self.kill_at is None:
            self.kill_at, self.interruption = now + self.grace_s, why
        elif not self.seat.scheduled:
            self.kill_at = now
        for running in self.running.values():
            self._signal(running, signal.SIGTERM)

    def _step(self) -> bool:
        """One round; tells whether another one can get anything done."""
        for message in self.spawner.messages(TICK_S):
            self._hear(message)
        if not self.spawner.alive():
            self._replace_template()
        self._look_around()
        if self.kill_at is not None:
            return self._wind_up(self.kill_at)
        could_go_on = self._start_what_is_ready()
        return bool(self.running) or could_go_on

    def _look_around(self) -> None:
        """Read what others have done: less often where many workers would ask one file system all the time."""
        if time.monotonic() - self.looked_at < self.seat.look_every_s:
            return
        self.looked_at = time.monotonic()
        if self.standings.refresh():
            self._drop_unwanted()

    def _wind_up(self, kill_at: float) -> bool:
        if time.monotonic() >= kill_at:
            for running in self.running.values():
                self._kill(running, "stopped before it could write a checkpoint")
            if any(running.pid is None for running in self.running.values()):
                # The template hangs in an import.
                self.spawner.kill()
        return bool(self.running)

    def _leave(self) -> None:
        """Have the same task started again if it was stopped before its end; else say that it is over.

        Where the scheduler stopped it and will not start it again, how it ended is the scheduler's to say.
        """
        stopped = self.kill_at is not None
        if stopped and self.seat.scheduled and any(self._unfinished(job) for job in self.jobs):
            self.seat.go_on()
            return
        self.submission.tasks.end(self.seat.index, self.seat.restart, by="worker", closed=self.queue.closed)

    def _unfinished(self, job: JobDescription) -> bool:
        standing = self.standings.of(job.id)
        if standing.state == "failed":
            return not self.policies.exhausted(self.standings.ledger.record(job.id).failures())
        return standing.state not in {"done", "cancelled"} and not standing.settled

    def _tell_of_earlier_starts(self) -> None:
        """Attempts of this very task before it was requeued ended with it, whether or not they could say so."""
        for job in self.jobs if self.seat.restart else ():
            standing = self.standings.of(job.id)
            if standing.state == "lost" and standing.event is not None and standing.event["e"] == "started":
                reason = "its task was requeued: preempted, or its node failed"
                self.events.tell("interrupted", job=job.id, n=standing.attempt, reason=reason)

    # --- starting -------------------------------------------------------------------------------------------------

    def _start_what_is_ready(self) -> bool:
        """Start jobs while there is room; tells whether anything may still become ready."""
        fits, refused = {running.job.fit for running in self.running.values()}, set[Shape]()
        for job in self.queue.ready(self.running, fits, refused):
            if self._start(job):
                fits.add(job.fit)
            else:
                refused.add(shape_of(job))
        self._tell_wait(bool(refused) and not self.running)
        return self.queue.hopeful

    def _tell_wait(self, waits: bool) -> None:
        """Say who has the places, as long as this worker has none itself."""
        shortage = self.machine.shortage if waits else None
        text = shortage.text(self.root.path) if shortage else ""
        if text != self.waits_for:
            self.waits_for = text
            tell_wait(self.submission.folder, text)

    def _start(self, job: JobDescription) -> bool:
        lacks = self.machine.lacks(job.resources)
        if lacks:
            self._tell_impossible(job, lacks)
            return True
        slot = self.machine.acquire(job.resources, len(self.running))
        if slot is None:
            return False
        attempt = attempts_begun(self.study, job.id, self.standings.ledger.record(job.id).latest) + 1
        if attempt > 1 and self._adopt(job, attempt - 1):
            slot.release()
            return True
        self.queue.drop(job.id)
        self.running[job.id] = _Running(job, attempt, slot)
        self.spawner.request(self._request(job, attempt, slot))
        return True

    def _adopt(self, job: JobDescription, attempt: int) -> bool:
        """Tell of the result of an attempt that published it and did not live to say so."""
        known = self.standings.ledger.record(job.id).attempts.get(attempt)
        self.looked_at = -inf
        noticed = known is not None and known["e"] != "started"
        if noticed or not is_published(self.study, job.id, attempt):
            return False
        self._tell_done(job.id, attempt)
        self.queue.drop(job.id)
        return True

    def _request(self, job: JobDescription, attempt: int, slot: Slot) -> Request:
        parents = {parent: self.standings.of(parent) for parent in self.standings.parents(job)}
        return Request(
            root=str(self.root.path),
            study=self.study.name,
            submission=self.submission.token,
            attempt=attempt,
            job=job.to_dict(),
            parents={parent: (standing.home.name, standing.attempt) for parent, standing in parents.items()},
            stages={parent: self.standings.stage(parent) for parent in parents},
            environment=slot.environment(),
            fit_needed=self.queue.needs(job.fit),
            task=(self.seat.index, self.seat.restart),
        )

    def _tell_impossible(self, job: JobDescription, lacks: str) -> None:
        self.queue.drop(job.id)
        attempt = self.standings.ledger.record(job.id).latest + 1
        failure = Failure("config", f"the job {lacks}", "impossible")
        self.events.tell("failed", job=job.id, n=attempt, **failure.to_dict())

    # --- hearing --------------------------------------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        if message["m"] == "ready":
            if message["reason"]:
                print(f"jobs start in fresh processes: {message['reason']}", flush=True)
            return
        running = self.running.get(message["job"])
        if running is None:
            return
        if message["m"] == "spawned":
            running.pid = message["pid"]
            if running.killed:
                self._signal(running, signal.SIGKILL)
        elif message["m"] == "started":
            self.events.tell("started", job=running.job.id, n=running.attempt, process=message["process"])
            if self.kill_at is not None:
                # It hears signals from now on; what was sent before is lost.
                self._signal(running, signal.SIGTERM)
        elif message["m"] == "exit":
            self._end(running, message)
        else:
            running.last = message

    def _end(self, running: _Running, exit_message: Message) -> None:
        """Record how an attempt ended: by its own last word, by its publication, or by its exit status."""
        job, attempt = running.job, running.attempt
        self.looked_at = -inf
        del self.running[job.id]
        running.slot.release()
        last = running.last["m"] if running.last else None
        if last == "declined":
            self.queue.put(job, 1.0)
        elif last == "done" or is_published(self.study, job.id, attempt):
            self._tell_done(job.id, attempt)
            self.identical.pop(job.stage, None)
        elif last == "blocked":
            self._blocked(running)
        elif last == "interrupted" or running.killed:
            self._interrupted(running, exit_message["peak"])
        else:
            self._failed(running, exit_message)

    def _blocked(self, running: _Running) -> None:
        """Record a verdict, and on which results it rests: it holds as long as these do."""
        assert running.last is not None
        job = running.job
        parents = {parent: self.standings.of(parent).attempt for parent in self.standings.parents(job)}
        self.events.tell("blocked", job=job.id, n=running.attempt, reason=running.last["reason"], parents=parents)

    def _interrupted(self, running: _Running, peak: int) -> None:
        """Record an end before the end: no failure, unless the scheduler stopped a job that got nowhere meanwhile."""
        job, reason = running.job, running.killed or (running.last or {}).get("reason", "")
        if self.interruption is None or progressed(self.study, job.fit, running.since):
            self.events.tell("interrupted", job=job.id, n=running.attempt, reason=reason)
            return
        why = "the time limit came" if self.interruption == "timeout" else "it was preempted"
        failure = Failure(self.interruption, f"{why} before the job had written a checkpoint", self.interruption)
        self._tell_failed(running, failure, peak)

    def _tell_done(self, job: str, attempt: int) -> None:
        event = unnoticed(self.study, job, attempt)
        self.events.tell("done", **{key: value for key, value in event.items() if key not in {"e", "t"}})

    def _failed(self, running: _Running, exit_message: Message) -> None:
        code, peak = exit_message["code"], exit_message["peak"]
        if code == -signal.SIGKILL and self.seat.scheduled:
            time.sleep(_OUTLIVES_S)
        failure = died(code, peak, oom_kills() > running.oom_kills)
        if running.last is not None and running.last["m"] == "failed":
            failure = Failure(running.last["kind"], running.last["reason"], running.last["digest"])
        self._tell_failed(running, failure, peak)

    def _tell_failed(self, running: _Running, failure: Failure, peak: int) -> None:
        job = running.job
        self.events.tell("failed", job=job.id, n=running.attempt, peak=peak, **failure.to_dict())
        self.standings.refresh()
        policy = self.policies.retry(self.standings.ledger.record(job.id).failures())
        if policy is not None and not (self.seat.scheduled and policy.asks_for_more):
            self.queue.put(job, policy.wait_s)
            print(f"{job.short_id}: {failure.kind}; tries again in {policy.wait_s:g} s", flush=True)
        self._watch_for_repetition(job, failure)
        if failure.kind == "disk":
            self.queue.close()

    def _watch_for_repetition(self, job: JobDescription, failure: Failure) -> None:
        digest, count = self.identical.get(job.stage, ("", 0))
        count = count + 1 if digest == failure.digest else 1
        self.identical[job.stage] = failure.digest, count
        if count >= self.policies.stop_after_identical:
            self.queue.close(job.stage)
            print(f"stage {job.stage}: {count} identical failures in a row; the rest is left waiting", flush=True)

    # --- interfering ----------------------------------------------------------------------------------------------

    def _drop_unwanted(self) -> None:
        """Let go of what was cancelled or superseded since."""
        ledger = self.standings.ledger
        for reason, jobs in (("superseded", ledger.plans.superseded), (_CANCELLED, ledger.cancelled)):
            for job in jobs:
                self.queue.drop(job)
                if job in self.running:
                    self._kill(self.running[job], reason)

    def _kill(self, running: _Running, reason: str) -> None:
        running.killed = reason
        self._signal(running, signal.SIGKILL)

    def _signal(self, running: _Running, number: signal.Signals) -> None:
        if running.pid is not None:
            signal_group(running.pid, number)

    def _replace_template(self) -> None:
        """The template died, and its jobs with it: what they did not finish continues under a new one."""
        while messages := self.spawner.messages(0.0):
            for message in messages:
                self._hear(message)
        lost = Failure("node", "the process that jobs are forked from died", "template")
        for running in list(self.running.values()):
            del self.running[running.job.id]
            running.slot.release()
            if is_published(self.study, running.job.id, running.attempt):
                self._tell_done(running.job.id, running.attempt)
            elif running.killed:
                self.events.tell("interrupted", job=running.job.id, n=running.attempt, reason=running.killed)
            else:
                self._tell_failed(running, lost, 0)
        self.spawner.restart()


def sit_down(submission: Submission, seat: Seat) -> None:
    """Work in a seat, unless somebody else has taken it."""
    if not submission.tasks.start(seat.index, seat.restart):
        print("this task has a worker already, or is over", flush=True)
        return
    sys.path[:0] = submission.import_path()
    os.environ["PYTHONPATH"] = submission.python_path()
    study = StudyFolder(submission.folder.parents[1])
    Worker(Root(study.path.parent), study, submission, seat).run()
