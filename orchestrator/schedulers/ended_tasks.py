"""The tasks that have ended without a word of their own: what the scheduler says of their ends goes into the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable

from seedfold.orchestrator.ledger.checkpoint_progress import progressed
from seedfold.orchestrator.ledger.claims import is_published
from seedfold.orchestrator.ledger.reader import Ledger, Record
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.tasks import TaskMark
from seedfold.orchestrator.schedulers.backend import TaskState
from seedfold.orchestrator.schedulers.registry import backend_of
from seedfold.orchestrator.schedulers.round import FINAL, Round, settle_s
from seedfold.orchestrator.schedulers.submission_attempts import last_trial, left_behind, sent_at
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import Failure

_VANISHED = "its task vanished from the queue"
_CONTINUING = {"timeout", "preempted", "node"}
"""Kinds that are no failure of a job that came further meanwhile."""


class EndedTasks:
    """Closes the tasks of submissions in one round."""

    def __init__(self, this_round: Round) -> None:
        self._round = this_round

    def close(self, submission: Submission) -> None:
        """Judge the tasks that the scheduler says have ended, or no longer knows, and that never said so."""
        if submission.scheduler_id() is None:
            return
        states, marks = self._round.done.answer.get(submission.token) or {}, submission.tasks.marks()
        for index in range(submission.task_count):
            mark = marks.get(index, TaskMark())
            if mark.over:
                continue
            state = states.get(index) or self._vanished(submission, index, mark)
            if state is not None and state.phase == "ended":
                self._close(submission, index, mark, state)
            self._round.done.put_off = self._round.done.put_off or (state is not None and state.phase == "ending")

    def _vanished(self, submission: Submission, index: int, mark: TaskMark) -> TaskState | None:
        """How a task ended of which the scheduler says nothing; None as long as nobody can be sure that it has.

        A scheduler that has lost its memory, or is not itself, says nothing of tasks that are at work.
        """
        if time.time() - sent_at(submission) < settle_s(submission):
            self._round.done.put_off = True
            return None
        if mark.started >= 0 and _worker_lives(submission, index):
            return None
        return TaskState("", "ended", "", _VANISHED, "node")

    def _close(self, submission: Submission, index: int, mark: TaskMark, state: TaskState) -> None:
        jobs = submission.jobs_of(index)
        begun = [job for job in jobs if self._is_begun(job)]
        if state.kind == "cancelled":
            self._tell_cancelled(jobs, state.reason)
        elif begun:
            for job in begun:
                self._tell_end(job, state)
        elif state.kind is not None and state.word:
            # Jobs that never began would otherwise be handed over again for ever.
            name = self._round.backend(submission).log_name(submission.scheduler_id(), index)
            log = f"submissions/{submission.token}/{name}"
            for job in jobs:
                self._tell_left(job, log, state, sent_at(submission))
        submission.tasks.end(index, max(mark.started, 0), by="scheduler", word=state.word, reason=state.reason)
        self._round.done.closed += 1

    def _is_begun(self, job: str) -> bool:
        end = self._round.ledger.record(job).end
        return end is not None and end["e"] == "started" and not is_published(self._round.study, job, end["n"])

    def _tell_cancelled(self, jobs: Iterable[str], reason: str) -> None:
        left = {
            job: self._round.ledger.record(job).latest
            for job in jobs
            if self._round.standings.of(job).state not in FINAL
        }
        if left:
            self._round.events.tell("cancelled", jobs=left, reason=reason)

    def _tell_end(self, job: str, state: TaskState) -> None:
        event = self._round.ledger.record(job).end
        assert event is not None
        kind = "node" if state.kind in {None, "cancelled"} else state.kind
        assert kind is not None
        assert kind != "cancelled"
        fit = self._round.ledger.plans.jobs[job].fit
        if kind in _CONTINUING and progressed(self._round.study, fit, event["t"]):
            self._round.events.tell("interrupted", job=job, n=event["n"], reason=state.reason)
        else:
            failure = Failure(kind, state.reason, state.word or "vanished")
            self._round.events.tell("failed", job=job, n=event["n"], peak=0, node=state.node, **failure.to_dict())

    def _tell_left(self, job: str, log: str, state: TaskState, since: float) -> None:
        """Record the failure of a job that was not at work when its task ended: it never began, or was stopped."""
        if self._round.standings.of(job).state in FINAL:
            return
        assert state.kind is not None
        assert state.kind != "cancelled"
        record = self._round.ledger.record(job)
        stopped = record.end is not None and record.end["e"] == "interrupted" and record.end["t"] > since
        if stopped and state.kind in _CONTINUING and self._has_progressed(job, record):
            return
        reason = state.reason if stopped else f"{state.reason} before the job began"
        failure = Failure(state.kind, reason, f"before-{state.word}")
        details = {"peak": 0, "node": state.node, "log": log, **failure.to_dict()}
        self._round.events.tell("failed", job=job, n=record.latest + 1, **details)

    def _has_progressed(self, job: str, record: Record) -> bool:
        started = record.started.get(record.latest)
        return started is not None and progressed(
            self._round.study, self._round.ledger.plans.jobs[job].fit, started["t"]
        )


def drop_cancelled(ledger: Ledger) -> None:
    """Have the scheduler drop tasks that have not begun and hold nothing but cancelled jobs."""
    for submission in ledger.live:
        number, marks = submission.scheduler_id(), submission.tasks.marks()
        if submission.array is None:
            continue
        dropped = [
            index
            for index in range(submission.task_count)
            if index not in marks and ledger.cancelled.issuperset(submission.jobs_of(index))
        ]
        if left_behind(submission) is not None:
            _give_up(submission, ledger)
            continue
        backend = backend_of(Cluster.parse(submission.settings["cluster"]))
        if number is not None and backend is not None:
            backend.cancel(submission, dropped)
        trial = last_trial(submission)
        for index in dropped if number is not None or trial is None or trial.refused else ():
            submission.tasks.end(index, 0, by="cancel")


def _give_up(submission: Submission, ledger: Ledger) -> None:
    """Forget the tasks of cancelled jobs in a queue that knows another root: they are not for this one to cancel."""
    marks = submission.tasks.marks()
    for index in range(submission.task_count):
        if ledger.cancelled.issuperset(submission.jobs_of(index)):
            submission.tasks.end(index, max(marks.get(index, TaskMark()).started, 0), by="cancel")


def _worker_lives(submission: Submission, index: int) -> bool:
    """Whether the worker of a task is at work; where that cannot be seen, its last sign of life tells."""
    worker, beaten = submission.tasks.worker(index), submission.tasks.beaten(index)
    if worker is None or beaten is None:
        return False
    known = worker.liveness()
    return known == "alive" or (known == "unknown" and time.time() - beaten < submission.silent_s)
