"""What a worker of a search does beyond others: it takes any open job of the search, and decides what is tried next."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import SeedfoldError
from seedfold.orchestrator.ledger.claims import has_live_claim
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.job_queue import JobQueue
from seedfold.orchestrator.worker.log_lines import say
from seedfold.orchestrator.worker.other_task import are_unfinished
from seedfold.orchestrator.worker.running_attempt import RunningAttempt

if TYPE_CHECKING:
    from seedfold.orchestrator.search.study_search import StudySearch


class SearchPool:
    """The search of which a task is one worker of several."""

    def __init__(self, search: StudySearch, memory_bytes: float = inf) -> None:
        """``memory_bytes`` is what the task has for a job."""
        self._search, self._memory_bytes = search, memory_bytes
        self._over: set[str] = set()
        self._trouble = ""
        self._is_prepared = False
        self.may_have_more = True
        """Whether a later look may find something to do."""

    @classmethod
    def of_task(cls, submission: Submission, index: int, states: JobStates) -> SearchPool | None:
        """The search of a task; None for a task with jobs of its own."""
        if SEARCH_JOB not in submission.jobs_of_task(index):
            return None
        # Only searches need this, and what it imports.
        from seedfold.orchestrator.search.study_search import StudySearch

        array = submission.array
        return cls(StudySearch(states), inf if array is None else array.resources.memory_bytes)

    def pause_after(self, job: str) -> int | None:
        """The epochs after which a job is to be paused; None if it trains to its end."""
        return self._search.pause_after(job)

    def fill(self, queue: JobQueue, running: Collection[str]) -> None:
        """Add the open jobs to the queue that are not in it, those that others have planned included.

        While the first ones run, this gets ready for the next decision.
        """
        try:
            self._search.refresh()
            self._search.carry_out()
        except SeedfoldError as error:
            self._tell(str(error))
        for job in self._open_jobs():
            if job.id not in queue and job.id not in running:
                queue.add(job)
        if running and not self._is_prepared:
            self._is_prepared = True
            # If nothing can be decided, that is told when something has to be.
            with suppress(SeedfoldError):
                self._search.prepare()

    def _open_jobs(self) -> Iterator[JobDescription]:
        states = self._search.states
        for job, description in open_to_all(self._search.ledger).items():
            # Most jobs of a long search are done or paused.
            if job in self._over or self._search.ledger.record_of(job).is_paused:
                continue
            if states.of(job).state == "done":
                self._over.add(job)
            elif self._search.is_ready(job) and self._search.memory_of(description) <= self._memory_bytes:
                yield description

    def decide(self, queue: JobQueue, running: Collection[str]) -> bool:
        """Make the next decision, and add its jobs to the queue; False if nothing is to be decided now.

        Nothing is while there is a job that this worker may start.
        """
        if any(job not in running and self._may_start(job) for job in queue):
            return False
        try:
            decided = self._search.step()
            self.may_have_more = decided or not (self._search.is_over() or self._waits_for_larger_task())
            self._tell("")
        except SeedfoldError as error:
            self._tell(str(error))
            decided, self.may_have_more = False, bool(self._search.open_jobs())
        if decided:
            self.fill(queue, running)
        return decided

    def _waits_for_larger_task(self) -> bool:
        """Whether all that is left needs more memory than this task has.

        Somebody submits a larger one when the tasks of this array have ended, or when a person looks.
        """
        states, search = self._search.states, self._search
        left = [
            job
            for job in search.planned_open_jobs()
            if states.of(job.id).state != "submitted" or search.is_ready(job.id)
        ]
        return bool(left) and all(
            search.memory_of(job) > self._memory_bytes and states.of(job.id).state == "submitted" for job in left
        )

    def _may_start(self, job: str) -> bool:
        """Whether a queued job waits for a worker, and none has begun it since the ledger was read."""
        return self._search.is_ready(job) and not has_live_claim(self._search.ledger.study, job)

    def _tell(self, trouble: str) -> None:
        """Say once why the search does not go on."""
        if trouble and trouble != self._trouble:
            say(f"the search does not go on: {trouble}")
        self._trouble = trouble

    def is_over(self) -> bool:
        """Whether nothing is left to do for anybody; also if nobody can say what comes next."""
        return bool(self._trouble) or self._search.is_over()

    def has_more(self) -> bool:
        """Whether somebody has to go on with the search, after all that is new was read."""
        self._search.states.refresh()
        self._search.refresh()
        return not self.is_over()


def open_to_all(ledger: Ledger) -> dict[str, JobDescription]:
    """The planned jobs of a search, which any of its workers may run; not those that a person has run again."""
    return {job: one for job, one in ledger.plans.trial_jobs.items() if job not in ledger.rerun_attempts}


def jobs_of_task(submission: Submission, index: int, ledger: Ledger) -> list[JobDescription]:
    """The jobs of a task; for a worker of a search all its jobs that are planned."""
    own = submission.jobs_of_task(index)
    return list(open_to_all(ledger).values()) if SEARCH_JOB in own else [ledger.plans.jobs[job] for job in own]


def is_excused(pool: SearchPool | None, running: RunningAttempt) -> bool:
    """Whether an attempt that was stopped without a checkpoint has not failed.

    A task of a search has its time for many jobs, one after the other: the last one may have had little of it.
    """
    return pool is not None and time.time() - running.started_at < running.job.resources.time_s


def is_work_left(
    pool: SearchPool | None, jobs: Iterable[JobDescription], states: JobStates, submission: Submission
) -> bool:
    """Whether a task that is stopped has something left to do: one of its jobs, or its search."""
    return are_unfinished(jobs, states, submission) if pool is None else pool.has_more()
