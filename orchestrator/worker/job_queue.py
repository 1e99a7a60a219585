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
from seedfold.orchestrator.ledger.claims import is_claimed_alive
from seedfold.orchestrator.state.job_states import ALIVE, Standing, Standings

Readiness = Literal["ready", "soon", "wait", "held", "never", "over"]
Shape = tuple[int, int]
"""CPUs and GPUs that a job takes."""


def shape_of(job: JobDescription) -> Shape:
    """Return what a job takes of the machine."""
    return job.resources.cpus, job.resources.gpus


class Queue:
    """Jobs in the order in which they should start; parents come before their children.

    One that is not ``patient`` has no hope for jobs that wait for what others have at work.
    """

    def __init__(self, jobs: Iterable[JobDescription], standings: Standings, patient: bool = True) -> None:
        self._standings = standings
        self._hopes_for = {"ready", "soon", "wait"} if patient else {"ready", "soon"}
        self._study = standings.ledger.study
        self._jobs: dict[str, JobDescription] = {}
        self._fits: Counter[str] = Counter()
        self._numbers = count()
        self._open: list[tuple[int, str]] = []
        self._place: dict[str, tuple[int, str]] = {}
        self._shapes: Counter[Shape] = Counter()
        self._aside: dict[str, list[str]] = {}
        self._left: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closed: set[str] = set()
        self._all_closed = False
        self.hopeful = True
        """Whether the last look found anything that is ready, or may become so by itself."""
        for job in jobs:
            self.put(job)

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._jobs))

    def put(self, job: JobDescription, wait_s: float = 0.0) -> None:
        """Queue a job behind the others, to start in ``wait_s`` seconds at the earliest."""
        self.drop(job.id)
        self._jobs[job.id] = job
        self._fits[job.fit] += 1
        self._left.discard(job.id)
        self._place[job.id] = (next(self._numbers), job.id)
        self._open_up(job)
        if wait_s:
            self._not_before[job.id] = time.monotonic() + wait_s

    def drop(self, job: str) -> None:
        """Let go of a job, if it is here."""
        found = self._jobs.pop(job, None)
        if found is None:
            return
        self._fits[found.fit] -= 1
        self._close_up(found)
        del self._place[job]
        if job in self._aside:
            self._left.add(job)

    def _open_up(self, job: JobDescription) -> None:
        insort(self._open, self._place[job.id])
        self._shapes[shape_of(job)] += 1

    def _close_up(self, job: JobDescription) -> None:
        """Look at a job no more, if it is looked at."""
        at = bisect_left(self._open, self._place[job.id])
        if at == len(self._open) or self._open[at] != self._place[job.id]:
            return
        del self._open[at]
        self._shapes[shape_of(job)] -= 1
        if not self._shapes[shape_of(job)]:
            del self._shapes[shape_of(job)]

    def needs(self, fit: str) -> bool:
        """Whether a job that has not started will predict from a fit."""
        return self._fits[fit] > 0

    def close(self, stage: str | None = None) -> None:
        """Start no more jobs of a stage, or none at all."""
        if stage is None:
            self._all_closed = True
        else:
            self._closed.add(stage)

    @property
    def closed(self) -> bool:
        """Whether jobs were left because more of them would fail in the same way."""
        return self._all_closed or bool(self._closed)

    def ready(self, running: Collection[str], fits: set[str], refused: set[Shape]) -> Iterator[JobDescription]:
        """Yield what may start now, beside ``running`` jobs that work on ``fits``.

        ``refused`` are shapes for which there is no room. The caller adds to all three as it goes: two jobs never
        work on one fit. Lets go of jobs that somebody else has done or given up meanwhile.
        """
        self._bring_back(running)
        self.hopeful = False
        for _, name in list(self._open):
            job = self._jobs.get(name)
            if job is None or shape_of(job) in refused:
                continue
            readiness = self._readiness(job, running, fits)
            self.hopeful = self.hopeful or readiness in self._hopes_for
            if readiness == "over":
                self.drop(job.id)
            elif readiness == "ready":
                yield job
                if self._shapes.keys() <= refused:
                    return
        # Children of a job that was let go of just now are looked at the next time.
        self.hopeful = self.hopeful or bool(self._left)

    def _bring_back(self, running: Collection[str]) -> None:
        """Look again at jobs whose parent was neither queued nor running any more."""
        for parent in [parent for parent in self._left if parent not in running]:
            self._left.remove(parent)
            for child in self._aside.pop(parent):
                if child in self._jobs:
                    self._open_up(self._jobs[child])

    def _readiness(self, job: JobDescription, running: Collection[str], fits: Collection[str]) -> Readiness:
        if self._all_closed or job.stage in self._closed:
            return "never"
        if self._is_held(job, running):
            return "held"
        if self._not_before.get(job.id, 0.0) > time.monotonic():
            return "soon"
        elsewhere = self._standings.elsewhere(job.id)
        if self._is_over(job.id, elsewhere):
            return "over"
        of_parents = self._of_parents(job)
        if of_parents != "ready":
            return of_parents
        # What is only queued elsewhere may wait for what is queued here; who claims first does it.
        at_work = elsewhere is not None and elsewhere.state == "running"
        at_work = at_work or job.fit in fits or is_claimed_alive(self._study, job.id)
        return "wait" if at_work else "ready"

    def _is_over(self, job: str, elsewhere: Standing | None) -> bool:
        """Whether nothing is to be done any more: another worker or study has, or a person wants it no longer."""
        standing = self._standings.of(job)
        if standing.settled or standing.state in {"done", "failed", "cancelled"}:
            return True
        done_elsewhere = elsewhere is not None and elsewhere.state == "done"
        return done_elsewhere and job not in self._standings.ledger.rerun

    def _is_held(self, job: JobDescription, running: Collection[str]) -> bool:
        """Put a job aside if a parent is queued or running.

        The last such parent is likely to end last, so that a job with thousands of them is looked at a few times.
        """
        for parent in reversed(job.parents):
            if parent in self._jobs or parent in running:
                self._close_up(job)
                self._aside.setdefault(parent, []).append(job.id)
                if parent not in self._jobs:
                    self._left.add(parent)
                return True
        return False

    def _of_parents(self, job: JobDescription) -> Readiness:
        found: Readiness = "ready"
        for parent in self._standings.parents(job):
            state = self._standings.of(parent).state
            if state not in ALIVE and state != "done":
                return "never"
            found = "wait" if state in ALIVE else found
        return found
