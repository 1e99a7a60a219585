"""What becomes of the jobs of trials without another decision: a job that waits ends as its parents let it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.state.job_states import JobStates

Fate = Literal["open", "done", "idle", "paused", "failed", "cancelled"]


class JobFates:
    """The fates of jobs, as their states are now: to be made anew when these were refreshed.

    ``open``: it runs, or it will. ``idle``: it has nothing to do. A job is ``paused``, ``failed``, ``cancelled`` or
    ``idle`` as well if a parent that it needs is.
    """

    def __init__(self, states: JobStates) -> None:
        self._states = states
        self._known: dict[str, Fate] = {}

    def of(self, job: str) -> Fate:
        """Return the fate of a job."""
        if job not in self._known:
            self._known[job] = self._find(job)
        return self._known[job]

    def _find(self, job: str) -> Fate:
        job_state = self._states.of(job)
        if job_state.state == "failed":
            failures = self._states.ledger.record_of(job).failures()
            return "failed" if self._states.policies.retries_are_exhausted(failures) else "open"
        if job_state.state == "done" or job_state.state == "paused" or job_state.state == "cancelled":
            return job_state.state
        if job_state.state == "running":
            return "open"
        return "idle" if job_state.has_nothing_to_do else self._as_its_parents(job)

    def _as_its_parents(self, job: str) -> Fate:
        description = self._states.job(job)
        parents = self._states.needed_parents(description) if description is not None else ()
        fates = {self.of(parent) for parent in parents}
        ends: tuple[Fate, ...] = ("failed", "cancelled", "idle", "paused")
        return next((fate for fate in ends if fate in fates), "open")

    def is_ready(self, job: JobDescription) -> bool:
        """Whether the parents that a job needs are done."""
        return all(self.of(parent) == "done" for parent in self._states.needed_parents(job))


def own_jobs(jobs: Sequence[JobDescription], settings: SearchSettings) -> list[JobDescription]:
    """The jobs that a trial has alone: those of a stage without searched keys are the same for all trials.

    The jobs of a program have no axes for what is searched, and are all its own.
    """
    own = [job for job in jobs if any(key in job.axes for key in settings.space)]
    return own or list(jobs)


def ranked_jobs(jobs: Sequence[JobDescription], settings: SearchSettings) -> list[JobDescription]:
    """The jobs of a trial that may have its metrics, and that are trained in rungs if the search has some."""
    return [job for job in own_jobs(jobs, settings) if settings.stage in (None, job.stage)]
