"""The queue of a worker: the jobs that it has not started, and which of them may start now.

The cost of one search does not grow with the queue: a job whose parent is queued or running is put aside until the
parent has left, and jobs for which there is no free slot are skipped.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import count
from typing import Literal

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.claims import has_live_claim
from seedfold.orchestrator.ledger.fits import is_fit_at_work
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobState, JobStates

Readiness = Literal["ready", "soon", "wait", "held", "never", "over"]
_NOT_STARTED = frozenset({"waiting", "submitted", "lost"})
SlotSize = tuple[int, int]
"""CPUs and GPUs that a job uses."""


def slot_size(job: JobDescription) -> SlotSize:
    """Return the CPUs and GPUs that a job uses."""
    return job.resources.cpus, job.resources.gpus


class JobQueue:
    """Jobs in the order in which they should start; parents come before their children.

    ``submission`` is the token of the submission whose jobs they are. Without ``waits_for_others``, `may_have_more` is
    false once all jobs wait for jobs that other workers run.
    """

    def __init__(
        self, jobs: Iterable[JobDescription], states: JobStates, submission: str, waits_for_others: bool = True
    ) -> None:
        self._states, self._submission = states, submission
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
        """Whether the last search found a job that is ready, or that may become ready by itself."""
        self.held: set[str] = set()
        """The jobs that the last search found held."""
        for job in jobs:
            self.add(job)

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._jobs))

    def add(self, job: JobDescription, delay_s: float = 0.0, *, is_first: bool = False) -> None:
        """Add a job behind the others, or before them, to start in ``delay_s`` seconds at the earliest."""
        self.remove(job.id)
        self._jobs[job.id] = job
        self._jobs_per_fit[job.fit] += 1
        self._parents_gone.discard(job.id)
        number = next(self._counter)
        self._position[job.id] = (-number if is_first else number, job.id)
        self._add_candidate(job)
        if delay_s:
            self._not_before[job.id] = time.monotonic() + delay_s

    def remove(self, job_id: str) -> None:
        """Remove a job, if it is in the queue."""
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
        """Remove a job from the candidates, if it is one."""
        at = bisect_left(self._candidates, self._position[job.id])
        if at == len(self._candidates) or self._candidates[at] != self._position[job.id]:
            return
        del self._candidates[at]
        self._candidate_sizes[slot_size(job)] -= 1
        if not self._candidate_sizes[slot_size(job)]:
            del self._candidate_sizes[slot_size(job)]

    def needs_fit_of(self, job: JobDescription) -> bool:
        """Whether another job that has not started will predict from the same fit, here or in another task."""
        if self._jobs_per_fit[job.fit] > 0:
            return True
        handed_over = self._states.ledger.last_submission_of
        others = self._sharing[job.fit] if job.fit != job.id else []
        return any(
            other in handed_over and self._states.of(other).state in _NOT_STARTED for other in others if other != job.id
        )

    @cached_property
    def _sharing(self) -> Mapping[str, list[str]]:
        """The jobs of each fit that has an id of its own."""
        jobs_of: defaultdict[str, list[str]] = defaultdict(list)
        for job in self._states.ledger.plans.jobs.values():
            if job.fit != job.id:
                jobs_of[job.fit].append(job.id)
        return jobs_of

    def close(self, stage: str | None = None) -> None:
        """Start no more jobs of a stage, or none at all."""
        if stage is None:
            self._all_closed = True
        else:
            self._closed_stages.add(stage)

    @property
    def has_closed_stages(self) -> bool:
        """Whether jobs were not started because more of them would fail in the same way."""
        return self._all_closed or bool(self._closed_stages)

    def ready_jobs(
        self, running: Collection[str], fits_in_use: set[str], full_sizes: set[SlotSize]
    ) -> Iterator[JobDescription]:
        """Yield the jobs that may start now, next to the ``running`` jobs, which work on ``fits_in_use``.

        ``full_sizes`` are sizes for which there is no free slot. The caller adds to all three between two jobs, because
        two jobs never work on one fit. Jobs that another worker has done or given up meanwhile are removed.
        """
        self._restore_children(running)
        self.may_have_more = False
        self.held.clear()
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
        # Children of a job that was just removed are searched the next time.
        self.may_have_more = self.may_have_more or bool(self._parents_gone)

    def ready_mates(
        self,
        job: JobDescription,
        key: Callable[[JobDescription], str],
        running: Collection[str],
        fits_in_use: Collection[str],
        most: int,
    ) -> list[JobDescription]:
        """Return ``most`` other jobs that may start now and have the same ``key``, each with a fit of its own.

        They are to start next to the ``running`` jobs, which work on ``fits_in_use``.
        """
        wanted, mates, fits = key(job), list[JobDescription](), {job.fit, *fits_in_use}
        for _, name in list(self._candidates):
            one = self._jobs.get(name)
            if len(mates) == most:
                break
            if one is None or one.id == job.id or one.stage != job.stage or one.fit in fits or key(one) != wanted:
                continue
            if self._readiness_of(one, running, fits) == "ready":
                mates.append(one)
                fits.add(one.fit)
        return mates

    def _restore_children(self, running: Collection[str]) -> None:
        """Make jobs candidates again whose parent is no longer queued or running."""
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
        job_state = self._states.of(job.id)
        if job_state.is_held:
            self.held.add(job.id)
            # Once its pilot jobs are done it may begin.
            return "wait" if job_state.state == "submitted" else "never"
        of_parents = self._readiness_of_parents(job)
        if of_parents != "ready":
            return of_parents
        # If another study only has the job in its queue, this worker may start it: the first to claim it runs it.
        at_work = state_elsewhere is not None and state_elsewhere.state == "running"
        at_work = at_work or job.fit in fits_in_use or has_live_claim(self._study, job.id)
        at_work = at_work or is_fit_at_work(self._study, job)
        return "wait" if at_work else "ready"

    def _needs_no_run(self, job_id: str, state_elsewhere: JobState | None) -> bool:
        """Whether a job need not run for now: it is done, here or elsewhere, given up, or paused by its search."""
        job_state = self._states.of(job_id)
        if job_state.has_nothing_to_do or job_state.state in {"done", "failed", "cancelled", "paused"}:
            return True
        done_elsewhere = state_elsewhere is not None and state_elsewhere.state == "done"
        return done_elsewhere and job_id not in self._states.ledger.rerun_attempts

    def _hold_for_parent(self, job: JobDescription, running: Collection[str]) -> bool:
        """Put a job aside if one of its parents is queued or running.

        It waits for the last such parent, which is likely to end last, so that a job with thousands of parents is
        checked only a few times.
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
            if (state not in ACTIVE_STATES and state != "done") or self._is_left(parent, state):
                return "never"
            readiness = "wait" if state in ACTIVE_STATES else readiness
        return readiness

    def _is_left(self, parent: str, state: str) -> bool:
        """Whether a parent counts as submitted only because this worker had it: its result has been damaged since."""
        submission = self._states.ledger.open_submission_of.get(parent) if state == "submitted" else None
        return submission is not None and submission.token == self._submission
