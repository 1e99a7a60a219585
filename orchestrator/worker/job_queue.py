"""The jobs that a worker has not started, and which of them may start now.

What a look costs does not grow with the queue: a job whose parent is queued or running is put aside until that parent
has left, and jobs for which there is no room are passed over.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import count
from typing import Literal

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.claims import has_live_claim
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobState, JobStates

Readiness = Literal["ready", "soon", "wait", "held", "never", "over"]
SlotSize = tuple[int, int]
"""CPUs and GPUs that a job takes."""


def slot_size(job: JobDescription) -> SlotSize:
    """Return what a job takes of the machine."""
    return job.resources.cpus, job.resources.gpus


class JobQueue:
    """Jobs in the order in which they should start; parents come before their children.

    Without ``waits_for_others`` there is no hope for jobs that wait for what others have at work.
    """

    def __init__(self, jobs: Iterable[JobDescription], states: JobStates, waits_for_others: bool = True) -> None:
        self._states = states
        self._may_still_start = {"ready", "soon", "wait"} if waits_for_others else {"ready", "soon"}
        self._study = states.ledger.study
        self._jobs: dict[str, JobDescription] = {}
        self._jobs_per_fit: Counter[str] = Counter()
        self._counter = count()
        self._candidates: list[tuple[int, str]] = []
        self._position: dict[str, tuple[int, str]] = {}
        self._candidate_sizes: Counter[SlotSize] = Counter()
        self._children_on_hold: dict[str, list[str]] = {}
        self._parents_gone: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closed_stages: set[str] = set()
        self._all_closed = False
        self.may_have_more = True
        """Whether the last look found anything that is ready, or may become so by itself."""
        for job in jobs:
            self.add(job)

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._jobs))

    def add(self, job: JobDescription, delay_s: float = 0.0) -> None:
        """Queue a job behind the others, to start in ``wait_s`` seconds at the earliest."""
        self.remove(job.id)
        self._jobs[job.id] = job
        self._jobs_per_fit[job.fit] += 1
        self._parents_gone.discard(job.id)
        self._position[job.id] = (next(self._counter), job.id)
        self._add_candidate(job)
        if delay_s:
            self._not_before[job.id] = time.monotonic() + delay_s

    def remove(self, job_id: str) -> None:
        """Let go of a job, if it is here."""
        found = self._jobs.pop(job_id, None)
        if found is None:
            return
        self._jobs_per_fit[found.fit] -= 1
        self._remove_candidate(found)
        del self._position[job_id]
        if job_id in self._children_on_hold:
            self._parents_gone.add(job_id)

    def _add_candidate(self, job: JobDescription) -> None:
        insort(self._candidates, self._position[job.id])
        self._candidate_sizes[slot_size(job)] += 1

    def _remove_candidate(self, job: JobDescription) -> None:
        """Look at a job no more, if it is looked at."""
        at = bisect_left(self._candidates, self._position[job.id])
        if at == len(self._candidates) or self._candidates[at] != self._position[job.id]:
            return
        del self._candidates[at]
        self._candidate_sizes[slot_size(job)] -= 1
        if not self._candidate_sizes[slot_size(job)]:
            del self._candidate_sizes[slot_size(job)]

    def needs_fit(self, fit: str) -> bool:
        """Whether a job that has not started will predict from a fit."""
        return self._jobs_per_fit[fit] > 0

    def close(self, stage: str | None = None) -> None:
        """Start no more jobs of a stage, or none at all."""
        if stage is None:
            self._all_closed = True
        else:
            self._closed_stages.add(stage)

    @property
    def has_closed_stages(self) -> bool:
        """Whether jobs were left because more of them would fail in the same way."""
        return self._all_closed or bool(self._closed_stages)

    def ready_jobs(
        self, running: Collection[str], fits_in_use: set[str], full_sizes: set[SlotSize]
    ) -> Iterator[JobDescription]:
        """Yield what may start now, beside ``running`` jobs that work on ``fits_in_use``.

        ``full_sizes`` are shapes for which there is no room. The caller adds to all three as it goes: two jobs never
        work on one fit. Lets go of jobs that somebody else has done or given up meanwhile.
        """
        self._restore_children(running)
        self.may_have_more = False
        for _, name in list(self._candidates):
            job = self._jobs.get(name)
            if job is None or slot_size(job) in full_sizes:
                continue
            readiness = self._readiness_of(job, running, fits_in_use)
            self.may_have_more = self.may_have_more or readiness in self._may_still_start
            if readiness == "over":
                self.remove(job.id)
            elif readiness == "ready":
                yield job
                if self._candidate_sizes.keys() <= full_sizes:
                    return
        # Children of a job that was let go of just now are looked at the next time.
        self.may_have_more = self.may_have_more or bool(self._parents_gone)

    def _restore_children(self, running: Collection[str]) -> None:
        """Look again at jobs whose parent was neither queued nor running any more."""
        for parent in [parent for parent in self._parents_gone if parent not in running]:
            self._parents_gone.remove(parent)
            for child in self._children_on_hold.pop(parent):
                if child in self._jobs:
                    self._add_candidate(self._jobs[child])

    def _readiness_of(self, job: JobDescription, running: Collection[str], fits_in_use: Collection[str]) -> Readiness:
        if self._all_closed or job.stage in self._closed_stages:
            return "never"
        if self._hold_for_parent(job, running):
            return "held"
        if self._not_before.get(job.id, 0.0) > time.monotonic():
            return "soon"
        state_elsewhere = self._states.find_elsewhere(job.id)
        if self._needs_no_run(job.id, state_elsewhere):
            return "over"
        of_parents = self._readiness_of_parents(job)
        if of_parents != "ready":
            return of_parents
        # What is only queued elsewhere may wait for what is queued here; who claims first does it.
        at_work = state_elsewhere is not None and state_elsewhere.state == "running"
        at_work = at_work or job.fit in fits_in_use or has_live_claim(self._study, job.id)
        return "wait" if at_work else "ready"

    def _needs_no_run(self, job_id: str, state_elsewhere: JobState | None) -> bool:
        """Whether nothing is to be done any more: another worker or study has, or a person wants it no longer."""
        job_state = self._states.of(job_id)
        if job_state.has_nothing_to_do or job_state.state in {"done", "failed", "cancelled"}:
            return True
        done_elsewhere = state_elsewhere is not None and state_elsewhere.state == "done"
        return done_elsewhere and job_id not in self._states.ledger.rerun_attempts

    def _hold_for_parent(self, job: JobDescription, running: Collection[str]) -> bool:
        """Put a job aside if a parent is queued or running.

        The last such parent is likely to end last, so that a job with thousands of them is looked at a few times.
        """
        for parent in reversed(job.parents):
            if parent in self._jobs or parent in running:
                self._remove_candidate(job)
                self._children_on_hold.setdefault(parent, []).append(job.id)
                if parent not in self._jobs:
                    self._parents_gone.add(parent)
                return True
        return False

    def _readiness_of_parents(self, job: JobDescription) -> Readiness:
        readiness: Readiness = "ready"
        for parent in self._states.needed_parents(job):
            state = self._states.of(parent).state
            if state not in ACTIVE_STATES and state != "done":
                return "never"
            readiness = "wait" if state in ACTIVE_STATES else readiness
        return readiness
