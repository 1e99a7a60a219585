"""Tasks that ended without recording it: their exit reasons, from the scheduler, are recorded in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from seedfold.orchestrator.ledger.checkpoint_progress import has_progressed
from seedfold.orchestrator.ledger.claims import is_published
from seedfold.orchestrator.ledger.copy_origin import observation_time
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import JobRecord
from seedfold.orchestrator.ledger.past_caches import longest_cache_s
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_records import TaskRecord
from seedfold.orchestrator.schedulers.advance_round import FINAL_STATES, AdvanceRound, settle_s
from seedfold.orchestrator.schedulers.backend import TaskState
from seedfold.orchestrator.schedulers.submission_attempts import submitted_at
from seedfold.orchestrator.settings.failures import KILLED, Failure, blame_job_if_killed_everywhere

_VANISHED_REASON = "its task vanished from the queue"
_RESUMABLE_KINDS = {"timeout", "preempted", "node"}
"""Failure kinds that do not count as a failure of a job that has made progress."""


class EndedTaskRecorder:
    """Records the ends of tasks in one call of `advance`."""

    def __init__(self, this_round: AdvanceRound) -> None:
        self._round = this_round

    def close_tasks_of(self, submission: Submission) -> None:
        """Record the end of tasks that the scheduler lists as ended or no longer lists, and that recorded no end."""
        if submission.scheduler_id() is None:
            return
        states, marks = self._round.result.task_states.get(submission.token) or {}, submission.tasks.records()
        for index in range(submission.task_count):
            mark = marks.get(index, TaskRecord())
            if mark.is_over:
                continue
            state = states.get(index) or self._state_of_vanished(submission, index, mark, bool(states))
            if state is not None and state.phase == "ended":
                self._close_task(submission, index, mark, state)
            self._round.result.call_again = self._round.result.call_again or (
                state is not None and state.phase == "ending"
            )

    def _state_of_vanished(
        self, submission: Submission, index: int, mark: TaskRecord, lists_siblings: bool
    ) -> TaskState | None:
        """The exit reason of a task that the scheduler does not list.

        None while it is not certain that the task has ended.

        A scheduler that has lost its state does not list tasks that are running, and lists no other task of the array.
        If it lists others (``lists_siblings``), a task that never began was cancelled: SLURM forgets it at once.
        """
        if time.time() - submitted_at(submission) < settle_s(submission):
            self._round.result.call_again = True
            return None
        if mark.last_start >= 0 and _is_worker_alive(submission, index):
            return None
        if lists_siblings and mark.last_start < 0 and not self._task_log(submission, index).exists():
            return TaskState("", "ended", "CANCELLED", "cancelled in the queue before it began", "cancelled")
        return TaskState("", "ended", "", _VANISHED_REASON, "node")

    def _task_log(self, submission: Submission, index: int) -> Path:
        """The log of a task, which the scheduler creates when the task begins."""
        return submission.folder / self._round.backend_for(submission).log_name(submission.scheduler_id(), index)

    def _close_task(self, submission: Submission, index: int, mark: TaskRecord, state: TaskState) -> None:
        jobs = submission.jobs_of_task(index)
        started = [job for job in self._jobs_begun_by(submission, index) if self._is_unfinished(job)]
        if state.kind == "cancelled":
            self._record_cancelled(jobs, state.reason)
        elif started:
            for job in started:
                self._record_end(job, submission, state)
        elif state.kind is not None and state.scheduler_state and (mark.last_start < 0 or SEARCH_JOB not in jobs):
            # Otherwise jobs that never began would be submitted again for ever.
            for job in jobs:
                self._record_failure_before_start(job, submission, self._task_log(submission, index), state)
        submission.tasks.record_end(
            index, max(mark.last_start, 0), by="scheduler", word=state.scheduler_state, reason=state.reason
        )
        self._round.result.closed += 1

    def _jobs_begun_by(self, submission: Submission, index: int) -> Iterable[str]:
        """The jobs of a task; for a task of a search, which has none of its own, those that it began last."""
        jobs = submission.jobs_of_task(index)
        if SEARCH_JOB not in jobs:
            return jobs
        place = [submission.token, index]
        latest = ((job, self._round.ledger.record_of(job).latest_event) for job in self._round.ledger.plans.trial_jobs)
        return [job for job, event in latest if event is not None and event.get("task") == place]

    def _is_unfinished(self, job: str) -> bool:
        last_event = self._round.ledger.record_of(job).latest_event
        return (
            last_event is not None
            and last_event["e"] == "started"
            and not is_published(self._round.study, job, last_event["n"])
        )

    def _record_cancelled(self, jobs: Iterable[str], reason: str) -> None:
        """Record that jobs were cancelled, also those whose workers took the cancellation for a preemption."""
        unfinished = {
            job: self._round.ledger.record_of(job).latest_attempt
            for job in jobs
            if self._round.states.of(job).state not in FINAL_STATES or self._was_stopped(job)
        }
        if unfinished:
            self._round.events.append("cancelled", jobs=unfinished, reason=reason)

    def _was_stopped(self, job: str) -> bool:
        job_state = self._round.states.of(job)
        return job_state.state == "failed" and (job_state.event or {}).get("kind") in _RESUMABLE_KINDS - {"node"}

    def _record_end(self, job: str, submission: Submission, state: TaskState) -> None:
        event = self._round.ledger.record_of(job).latest_event
        assert event is not None
        kind = "node" if state.kind in {None, "cancelled"} else state.kind
        assert kind is not None
        assert kind != "cancelled"
        fit = self._round.ledger.plans.jobs[job].fit
        if (
            kind in _RESUMABLE_KINDS
            and not state.was_killed
            and has_progressed(self._round.study, fit, event["t"], event.get("step"))
        ):
            details = {"reason": state.reason, "why": kind, "submission": submission.token}
            self._round.events.append("interrupted", job=job, n=event["n"], **details)
        else:
            failure = Failure(kind, state.reason, state.scheduler_state or "vanished")
            self._record_failed(job, event["n"], submission, state, failure)

    def _record_failed(
        self, job: str, attempt: int, submission: Submission, state: TaskState, failure: Failure, **details: str
    ) -> None:
        if state.was_killed:
            earlier = self._round.ledger.record_of(job).failures()
            failure = blame_job_if_killed_everywhere(replace(failure, digest=KILLED), state.node, earlier)
        details |= {"node": state.node, "submission": submission.token, **failure.to_dict()}
        self._round.events.append("failed", job=job, n=attempt, peak=0, **details)

    def _record_failure_before_start(self, job: str, submission: Submission, log: Path, state: TaskState) -> None:
        """Record the failure of a job that was not running when its task ended: it never began, or was stopped."""
        if self._round.states.of(job).state in FINAL_STATES:
            return
        assert state.kind is not None
        assert state.kind != "cancelled"
        record = self._round.ledger.record_of(job)
        was_interrupted = (
            record.latest_event is not None
            and record.latest_event["e"] == "interrupted"
            and record.latest_event["t"] > submitted_at(submission)
        )
        if (
            was_interrupted
            and state.kind in _RESUMABLE_KINDS
            and not state.was_killed
            and self._has_progressed(job, record)
        ):
            return
        reason = state.reason if was_interrupted else f"{state.reason} before the job began"
        failure = Failure(state.kind, reason, f"before-{state.scheduler_state}")
        name = f"submissions/{submission.token}/{log.name}"
        self._record_failed(job, record.latest_attempt + 1, submission, state, failure, log=name)

    def _has_progressed(self, job: str, record: JobRecord) -> bool:
        started = record.start_events.get(record.latest_attempt)
        return started is not None and has_progressed(
            self._round.study, self._round.ledger.plans.jobs[job].fit, started["t"], started.get("step")
        )


def _is_worker_alive(submission: Submission, index: int) -> bool:
    """Whether the worker of a task is alive. If this host cannot see its process, its last heartbeat decides."""
    worker, last_heartbeat = submission.tasks.worker_process(index), submission.tasks.last_heartbeat(index)
    if worker is None or last_heartbeat is None:
        return False
    liveness = worker.liveness()
    if liveness != "unknown":
        return liveness == "alive"
    study = StudyFolder(submission.folder.parents[1])
    return observation_time(study) - last_heartbeat < submission.silent_s + longest_cache_s(study.path)
