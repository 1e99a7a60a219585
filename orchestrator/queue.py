"""The jobs that a worker has not started, and which of them may start now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.claims import is_claimed_alive
from seedfold.orchestrator.standing import ALIVE, Standings

Readiness = Literal["ready", "wait", "never", "done"]


class Queue:
    """Jobs in the order in which they should start; parents come before their children."""

    def __init__(self, jobs: Iterable[JobDescription], standings: Standings) -> None:
        self._standings = standings
        self._study = standings.ledger.study
        self._jobs: dict[str, JobDescription] = {}
        self._fits: Counter[str] = Counter()
        self._held_by: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._closed: set[str] = set()
        self._all_closed = False
        self.hopeful = True
        """Whether the last look found anything that is ready, or may become so."""
        for job in jobs:
            self.put(job)
        self.shapes = len({(job.resources.cpus, job.resources.gpus) for job in self._jobs.values()})

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._jobs))

    def put(self, job: JobDescription, wait_s: float = 0.0) -> None:
        """Queue a job, to start in ``wait_s`` seconds at the earliest."""
        self._jobs[job.id] = job
        self._fits[job.fit] += 1
        if wait_s:
            self._not_before[job.id] = time.monotonic() + wait_s

    def drop(self, job: str) -> None:
        """Let go of a job, if it is here."""
        found = self._jobs.pop(job, None)
        if found is not None:
            self._fits[found.fit] -= 1

    def needs(self, fit: str) -> bool:
        """Whether a job that has not started will predict from a fit."""
        return self._fits[fit] > 0

    def close(self, stage: str | None = None) -> None:
        """Start no more jobs of a stage, or none at all."""
        if stage is None:
            self._all_closed = True
        else:
            self._closed.add(stage)

    def ready(self, running: Collection[str], fits: Collection[str]) -> Iterator[JobDescription]:
        """Yield what may start now, beside ``running`` jobs that work on ``fits``.

        Lets go of jobs that somebody else has done meanwhile.
        """
        self.hopeful = False
        for job in list(self._jobs.values()):
            readiness = self._readiness(job, running, fits)
            self.hopeful = self.hopeful or readiness in {"ready", "wait"}
            if readiness == "done":
                self.drop(job.id)
            elif readiness == "ready":
                yield job

    def _readiness(self, job: JobDescription, running: Collection[str], fits: Collection[str]) -> Readiness:
        if self._all_closed or job.stage in self._closed:
            return "never"
        if self._is_held(job.id, running) or self._not_before.get(job.id, 0.0) > time.monotonic():
            return "wait"
        if self._standings.of(job.id).state == "done":
            return "done"
        of_parents = self._of_parents(job, running)
        if of_parents != "ready":
            return of_parents
        at_work = self._standings.elsewhere(job.id) is not None or is_claimed_alive(self._study, job.id)
        return "wait" if at_work or job.fit in fits else "ready"

    def _is_held(self, job: str, running: Collection[str]) -> bool:
        """Whether the parent that held the job up when it was last looked at still does: a quick no for most."""
        parent = self._held_by.get(job)
        return parent is not None and (parent in self._jobs or parent in running)

    def _of_parents(self, job: JobDescription, running: Collection[str]) -> Readiness:
        found: Readiness = "ready"
        for parent in job.parents:
            if parent in self._jobs or parent in running:
                self._held_by[job.id] = parent
                return "wait"
            state = self._standings.of(parent).state
            if state not in ALIVE and state != "done":
                return "never"
            found = "wait" if state in ALIVE else found
        return found
