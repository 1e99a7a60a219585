"""One worker: it runs the jobs of one task of a submission, in the slots of its worker environment.

It starts jobs that are ready, records what happened, and retries as the retry policies allow. It ends when there is
nothing left that it could do. It may be killed at any moment: its jobs are killed with it, and the ledger shows how far
they came.
"""

from __future__ import annotations

import shutil
import signal
import time
from math import inf

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.checkpoint_progress import has_progressed, newest_step
from seedfold.orchestrator.ledger.claims import latest_attempt_number
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.slot_waits import must_start_now
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import Failure, RetryPolicies, RetryPolicy
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.attempt_events import AttemptEvents
from seedfold.orchestrator.worker.attempt_requests import AttemptRequests
from seedfold.orchestrator.worker.environment import Interruption, WorkerEnvironment
from seedfold.orchestrator.worker.exit_failure import failure_of_exit
from seedfold.orchestrator.worker.gpu_sharing import GpuSharing
from seedfold.orchestrator.worker.heartbeat import TAKEN, Heartbeat
from seedfold.orchestrator.worker.job_groups import JobGroups
from seedfold.orchestrator.worker.job_queue import JobQueue, SlotSize, slot_size
from seedfold.orchestrator.worker.log_lines import remove_empty_log, say
from seedfold.orchestrator.worker.messages import AttemptRequest, GroupRequest, Message
from seedfold.orchestrator.worker.notification import notify_of_end
from seedfold.orchestrator.worker.other_task import needs_other_task
from seedfold.orchestrator.worker.repeated_failures import RepeatedFailures
from seedfold.orchestrator.worker.running_attempt import RunningAttempt, count_processes
from seedfold.orchestrator.worker.search_pool import SearchPool, is_excused, is_work_left, jobs_of_task
from seedfold.orchestrator.worker.slots import Slot, share_slot
from seedfold.orchestrator.worker.storage_wait import StorageWait, blame_full_disk
from seedfold.orchestrator.worker.study_limit import StudyLimit
from seedfold.orchestrator.worker.template_client import TemplateClient, callable_names, find_program_start, is_program
from seedfold.orchestrator.worker.template_start import StartedTemplate
from seedfold.orchestrator.worker.used_resources import UseSampler, seen_by_worker
from seedfold.orchestrator.worker.wait_record import WaitRecord

MESSAGE_WAIT_S = 0.5


class Worker:
    """Runs the jobs of one task of one submission of one study."""

    def __init__(
        self, submission: Submission, environment: WorkerEnvironment, template: StartedTemplate | None = None
    ) -> None:
        settings, study = submission.settings, StudyFolder(submission.folder.parents[1])
        root = Root(study.path.parent)
        self.study, self.submission, self.environment = study, submission, environment
        self.policies = RetryPolicies.parse(settings["failures"])
        own = submission.jobs_of_task(environment.index) if environment.is_scheduled else None
        self.states = JobStates(root, Ledger(study, keeps=False, about=own), self.policies)
        cluster = ClusterSettings.parse(settings["cluster"])
        self.machine, self.grace_s = environment.machine(cluster, study.path), cluster.grace_s
        self.limit = StudyLimit(self.states, submission, self.machine)
        self.wait_record = WaitRecord(root, study, submission, self.machine, self.limit)
        self.groups = JobGroups(self.states, self.machine)
        self.heartbeat = Heartbeat(study, submission, environment.index, environment.restart)
        self.storage = StorageWait(submission.folder, self._beat, self._may_wait)
        self.events = AttemptEvents(study, submission, environment.node, self.storage, environment.index)
        self.sharing = GpuSharing(cluster, self.machine, self.states.ledger, self.events.of_study, environment.node)
        self.pool = SearchPool.of_task(submission, environment.index, self.states)
        self.jobs = jobs_of_task(submission, environment.index, self.states.ledger)
        own_jobs = [job for job in self.jobs if not self._needs_other_task(job)]
        self.queue = JobQueue(own_jobs, self.states, submission.token, waits_for_others=not environment.is_scheduled)
        self.running: dict[str, RunningAttempt] = {}
        self.repeated_failures = RepeatedFailures(self.policies.stop_after_identical)
        self.use = UseSampler()
        self.requests = AttemptRequests(root, study, submission, environment, self.states, self.sharing)
        self.kill_at: float | None = None
        self.refreshed_at = -inf
        self.interruption: Interruption | None = None
        self.template = TemplateClient(
            cluster.warm,
            sorted({name for job in self.jobs for name in callable_names(job)}),
            find_program_start(self.jobs),
            of_scheduler=any(map(is_program, self.jobs)),
            started=template,
        )

    def run(self) -> None:
        """Work until nothing is left to do, or until asked to stop."""
        for number in self.environment.stop_signals:
            signal.signal(number, lambda received, _: self.stop(received))
        try:
            if self.environment.restart and self.pool is None:
                self.events.append_requeued({job.id: self.states.of(job.id) for job in self.jobs})
            while self._step():
                pass
        finally:
            self.template.close()
            self.sharing.close()
            self.events.close()
        self._finish()

    def stop(self, signal_number: int) -> None:
        """First call: ask running jobs to write a checkpoint, and start no more jobs. Second call: kill them.

        Under a scheduler a second call does nothing: the scheduler kills by itself, and may send several signals for
        one stop.
        """
        now, why = time.monotonic(), self.environment.interruption(signal_number)
        if self.kill_at is None:
            self.kill_at, self.interruption = now + self.grace_s, why
        elif not self.environment.is_scheduled:
            self.kill_at = now
        for running in self.running.values():
            running.send_signal(signal.SIGTERM, self.study)

    def _step(self) -> bool:
        """Do one round; return whether another round may have something to do."""
        for message in self.template.receive_messages(MESSAGE_WAIT_S):
            self._receive(message)
        if not self.template.is_alive():
            self._replace_template()
        self.storage.until_done(self._refresh)
        self._beat()
        self.use.sample(self.running.values())
        self.sharing.sample(self.running)
        if self.kill_at is not None:
            return self._kill_if_due(self.kill_at)
        may_have_more = self.storage.until_done(self._start_ready_jobs)
        return bool(self.running) or may_have_more

    def _beat(self) -> None:
        """Record a heartbeat if one is due; after a long silence, give up the jobs that others have begun again."""
        for running in self.heartbeat.beat(self.running.values()):
            self._kill_attempt(running, TAKEN)
        if self.heartbeat.task_was_ended:
            self.queue.close()

    def _may_wait(self) -> bool:
        return self.kill_at is None or time.monotonic() < self.kill_at

    def _refresh(self) -> None:
        """Read what others have done; less often if many workers share one file system."""
        if time.monotonic() - self.refreshed_at < self.environment.refresh_every_s:
            return
        # A search reads what is new as well.
        if self.states.refresh() or self.pool is not None:
            self._drop_cancelled_and_superseded()
        self.refreshed_at = time.monotonic()

    def _kill_if_due(self, kill_at: float) -> bool:
        if time.monotonic() >= kill_at:
            for running in self.running.values():
                self._kill_attempt(running, "stopped before it could write a checkpoint")
            if any(running.pid is None for running in self.running.values()):
                # The template hangs in an import.
                self.template.kill()
        return bool(self.running)

    def _finish(self) -> None:
        """Ask for a requeue of the task if it was stopped before its end; else record that it has ended.

        If the scheduler stopped the task and will not start it again, the exit reason comes from the scheduler.
        """
        stopped = self.kill_at is not None and self.environment.is_scheduled
        if stopped and is_work_left(self.pool, self.jobs, self.states, self.submission):
            self.environment.requeue()
            return
        closed = {"closed": self.queue.has_closed_stages, "closed_after": self.queue.closed_after}
        self.submission.tasks.record_end(self.environment.index, self.environment.restart, by="worker", **closed)
        self.states.refresh()
        if note := notify_of_end(self.states):
            say(note)

    def _needs_other_task(self, job: JobDescription) -> bool:
        return needs_other_task(self.states.ledger.record_of(job.id), self.submission, self.policies)

    # --- starting -------------------------------------------------------------------------------------------------

    def _start_ready_jobs(self) -> bool:
        """Start jobs while there are free slots; return whether any job may still become ready."""
        if self.storage.holds_jobs():
            return any(True for _ in self.queue)
        self.machine.runs_beside |= self.machine.shortage is not None and must_start_now(self.submission.folder)
        fits, full_sizes = {running.job.fit for running in self.running.values()}, set[SlotSize]()
        if self.pool is not None:
            self.pool.fill(self.queue, self.running)
        self._start_queued_jobs(fits, full_sizes)
        while self.pool is not None and not full_sizes and self.pool.decide(self.queue, self.running):
            self._start_queued_jobs(fits, full_sizes)
        self.wait_record.record(bool(full_sizes) and not self.running, self.running)
        return self.queue.may_have_more or (self.pool is not None and self.pool.may_have_more)

    def _start_queued_jobs(self, fits: set[str], full_sizes: set[SlotSize]) -> None:
        """Start queued jobs that are ready while there are free slots; add to the fits and sizes that are in use."""
        for job in self.queue.ready_jobs(self.running, fits, full_sizes):
            if self._start_job(job):
                fits |= {job.fit, *(running.job.fit for running in self.running.values())}
            else:
                full_sizes.add(slot_size(job))

    def _start_job(self, job: JobDescription) -> bool:
        reason = self.machine.missing_resources(job.resources)
        if reason:
            self.queue.remove(job.id)
            self.events.append_impossible(job.id, self.states.ledger.record_of(job.id).latest_attempt + 1, reason)
            return True
        processes, places = count_processes(self.running.values()), self.sharing.places(job, self.running)
        slot = self.limit.acquire_slot(job.resources, self.running, processes, places)
        if slot is None:
            return False
        try:
            self._start_in_slot(job, slot)
        except Exception:
            slot.release()
            self.queue.add(job)
            raise
        return True

    def _start_in_slot(self, job: JobDescription, slot: Slot) -> None:
        """Start an attempt in a process, with those of the jobs that are trained together with it."""
        jobs = [job, *self.groups.mates_of(job, self.queue, self.running)]
        group = tuple(one.id for one in jobs) if len(jobs) > 1 else ()
        parts = zip(jobs, share_slot(slot, len(jobs)), strict=True)
        try:
            requests = tuple(filter(None, [self._begin(one, part, group) for one, part in parts]))
        except Exception:
            for one in jobs:
                if self.running.pop(one.id, None):
                    self.queue.add(one)
            raise
        if requests:
            self.template.start(GroupRequest(requests, self.groups.are_measured(job)))

    def _begin(self, job: JobDescription, slot: Slot, group: tuple[str, ...]) -> AttemptRequest | None:
        """Return the request for an attempt, unless the last one has published the result."""
        attempt = latest_attempt_number(self.study, job.id, self.states.ledger.record_of(job.id).latest_attempt) + 1
        if attempt > 1 and self._record_published_result(job, attempt - 1):
            slot.release()
            return None
        self.queue.remove(job.id)
        step = newest_step(self.study, job.fit) if self.environment.is_scheduled else None
        request = self.requests.make(job, attempt, slot, self.queue.needs_fit_of(job), self.pool)
        self.running[job.id] = RunningAttempt(job, attempt, slot, step, group)
        self.sharing.note_start(self.running)
        return request

    def _record_published_result(self, job: JobDescription, attempt: int) -> bool:
        """Record the result of an attempt that published it and was killed before it could record that."""
        self.refreshed_at = -inf
        if not self.events.append_unrecorded(
            job.id, attempt, self.states.ledger.record_of(job.id).last_events.get(attempt)
        ):
            return False
        self.queue.remove(job.id)
        return True

    # --- messages -------------------------------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        if message["m"] == "ready":
            if message["reason"]:
                say(f"each job starts in a fresh process: {message['reason']}")
            return
        running = self.running.get(message["job"])
        if running is None:
            return
        if message["m"] == "spawned":
            running.pid = message["pid"]
            if running.kill_reason:
                running.send_signal(signal.SIGKILL, self.study)
        elif message["m"] == "started":
            self.events.append_started(running, message["process"])
            if self.kill_at is not None:
                # From now on the process handles signals; signals that were sent before are lost.
                running.send_signal(signal.SIGTERM, self.study)
        elif message["m"] == "group":
            self.groups.note(running.job, message["reason"], message["again"])
        elif message["m"] in {"exit", "left"}:
            if running.is_meant_by(message):
                self._record_end(running, message)
        else:
            running.last_message = message

    def _record_end(self, running: RunningAttempt, exit_message: Message) -> None:
        """Record how an attempt ended: from its last message, from its published result, or from its exit status."""
        job = running.job
        self.refreshed_at = -inf
        self.sharing.note_end(running, self.running)
        del self.running[job.id]
        running.slot.release()
        last_kind = running.last_message["m"] if running.last_message else None
        if last_kind == "declined":
            self.queue.add(job, 1.0)
        elif last_kind == "done" or self.events.has_published(job.id, running.attempt):
            self._record_result(running, exit_message["peak"])
        elif last_kind == "blocked":
            parents = {parent: self.states.of(parent).attempt for parent in self.states.needed_parents(job)}
            self.events.append_blocked(running, parents)
        elif last_kind == "paused":
            self.events.append_paused(running)
        elif last_kind == "interrupted" or running.kill_reason:
            reason = running.kill_reason or (running.last_message or {}).get("reason", "")
            self._record_interrupted(running, reason, exit_message["peak"])
        elif running.group and exit_message["m"] == "exit" and self.kill_at is None and running.last_message is None:
            reason = self.groups.start_alone(running.job, exit_message["code"])
            self.events.append_interrupted(job.id, running.attempt, reason, None)
            self.queue.add(job)
        else:
            self._record_exit(running, exit_message)

    def _record_result(self, running: RunningAttempt, peak: int) -> None:
        damage = self.events.append_done(running.job.id, running.attempt, seen_by_worker(running, peak))
        if damage:
            self._record_failed(running, Failure("node", f"its result was published, but {damage}", "damaged"), peak)
        else:
            self.repeated_failures.forget(running.job.stage)
            remove_empty_log(self.study.log_file(running.job.id, running.attempt))

    def _record_interrupted(self, running: RunningAttempt, reason: str, peak: int) -> None:
        """Record an interruption: a failure without progress, unless a person stopped it. Stopped alone, it goes on."""
        job, goes_on = running.job, self.kill_at is None and not running.kill_reason
        kind = "preempted" if goes_on else self.interruption
        excused = is_excused(self.pool, running)
        if kind is None or excused or has_progressed(self.study, job.fit, running.started_at, running.step_before):
            self.events.append_interrupted(job.id, running.attempt, reason, self.interruption)
            return self.queue.add(job) if goes_on else None
        why = "the time limit was reached" if kind == "timeout" else "it was preempted"
        self._record_failed(running, Failure(kind, f"{why} before the job had written a checkpoint", kind), peak)

    def _record_exit(self, running: RunningAttempt, exit_message: Message) -> None:
        failure, peak = failure_of_exit(running, exit_message, self.environment.is_scheduled)
        if self.kill_at is not None and failure.kind in {"error", "node"}:
            # Schedulers send signals to all processes of a task: what a job needs may have ended before the job itself.
            self._record_interrupted(running, f"stopped: {failure.reason}", peak)
            return
        if reason := self.sharing.blame_neighbours(running, failure):
            self.events.append_interrupted(running.job.id, running.attempt, reason, None, alone=True)
            return self.queue.add(running.job)
        self._record_failed(running, blame_full_disk(failure, self.study.path), peak)

    def _record_failed(self, running: RunningAttempt, failure: Failure, peak: int) -> None:
        job = running.job
        earlier = self.states.ledger.record_of(job.id).failures()
        failure = self.events.append_failed(job.id, running.attempt, failure, peak, earlier)
        self.storage.until_done(self.states.refresh)
        policy = self.policies.next_retry(self.states.ledger.record_of(job.id).failures())
        if policy is not None and not (self.environment.is_scheduled and policy.needs_resubmission):
            # After a full disk, the job that met it shows whether there is room enough.
            self.queue.add(job, policy.wait_s, is_first=failure.kind == "disk")
            say(f"{job.short_id}: {failure.kind}; it is tried again in {policy.wait_s:g} s")
        if self.repeated_failures.are_enough(job.stage, failure):
            self.queue.close(job.stage, failure.reason)
        if failure.kind == "disk":
            self._await_room(running, policy, failure.reason)

    def _await_room(self, running: RunningAttempt, policy: RetryPolicy | None, reason: str) -> None:
        """Start no jobs while the disk is full; none at all once a job was tried often enough."""
        shutil.rmtree(self.study.job_folder(running.job.id) / f"staging.{running.attempt}", ignore_errors=True)
        if policy is None:
            self.queue.close(reason=reason)
        else:
            self.storage.hold_jobs(policy.wait_s)

    # --- changes from outside -----------------------------------------------------------------------------------------

    def _drop_cancelled_and_superseded(self) -> None:
        """Stop and remove jobs that were cancelled or superseded since."""
        ledger = self.states.ledger
        for reason, jobs in (("superseded", ledger.plans.superseded), ("cancelled", ledger.cancelled_jobs)):
            for job in jobs:
                self.queue.remove(job)
                if job in self.running:
                    self._kill_attempt(self.running[job], reason)

    def _kill_attempt(self, running: RunningAttempt, reason: str) -> None:
        running.kill_reason = reason
        self.sharing.let_go(running)
        running.send_signal(signal.SIGKILL, self.study)

    def _replace_template(self) -> None:
        """Replace the template after it died, and its jobs with it: unfinished jobs continue in a new one."""
        while messages := self.template.receive_messages(0.0):
            for message in messages:
                self._receive(message)
        lost = Failure("node", "the template process, from which jobs are forked, died", "template")
        for running in list(self.running.values()):
            del self.running[running.job.id]
            running.slot.release()
            if self.events.has_published(running.job.id, running.attempt):
                self._record_result(running, 0)
            elif running.kill_reason:
                self.events.append_interrupted(running.job.id, running.attempt, running.kill_reason, None)
            else:
                self._record_failed(running, lost, 0)
        self.template.restart()
