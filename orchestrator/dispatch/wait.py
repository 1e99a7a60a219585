"""Waits for the jobs of a launch, and stops the workers of this machine."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.slot_waits import read_wait
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobState, JobStates, count_states

POLL_S = 0.3


_FIRST_PAUSE_S = 5.0


_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The states of the jobs that are waited for: counts by state, and whether any of them is active.

    ``waits_for`` is what their worker waits for, if none of them runs and the worker has recorded it.
    """

    counts: Mapping[str, int]
    running: tuple[JobDescription, ...]
    is_over: bool
    waits_for: str = ""


class JobWatcher:
    """Watches the jobs of a launch, whichever worker runs them. It only reads.

    Without ``jobs``, these are the jobs of the study's search, also those that are planned later.
    """

    def __init__(self, root: Root, study: StudyFolder, jobs: Sequence[str] | None) -> None:
        self._is_search = jobs is None
        self.jobs: Sequence[str] = jobs or ()
        self._job_ids = frozenset(self.jobs)
        self._done_states: dict[str, JobState] = {}
        self.ledger = Ledger(study)
        assert self.ledger.plans.header is not None
        policies = RetryPolicies.parse(self.ledger.plans.header.settings["failures"])
        self.states = JobStates(root, self.ledger, policies)
        self._root = root
        self._next_advance_at, self._advance_every_s = time.monotonic() + _FIRST_PAUSE_S, _FIRST_PAUSE_S

    def poll(self) -> Progress:
        """Read the states once.

        A job that was seen done is not checked again, because most of thousands of jobs are done.
        """
        self.states.refresh()
        if self._is_search:
            self.jobs = list(self.ledger.plans.trial_jobs)
        states = {job: self._done_states.get(job) or self.states.of(job) for job in self.jobs}
        self._done_states = {job: one for job, one in states.items() if one.state == "done"}
        running = tuple(self.ledger.plans.jobs[job] for job, one in states.items() if one.state == "running")
        over = not any(one.state in ACTIVE_STATES for one in states.values())
        over = over and not (self._is_search and SEARCH_JOB in self.ledger.open_submission_of)
        waits_for = "" if running or over else self._waits_for()
        return Progress(count_states(states.values()), running, over, waits_for)

    def _waits_for(self) -> str:
        texts = (
            read_wait(one.folder)
            for one in self.ledger.live_submissions
            if self._is_search or not self._job_ids.isdisjoint(one.jobs)
        )
        return next(filter(None, texts), "")

    def wait(self, show: Callable[[Progress], None], *, for_one: bool = False) -> Progress:
        """Wait until none of the jobs is active or, with ``for_one``, until one of them is not."""
        while not self._has_awaited(progress := self.poll(), for_one):
            show(progress)
            time.sleep(POLL_S)
            self._advance_if_due()
        show(progress)
        return progress

    def _has_awaited(self, progress: Progress, for_one: bool) -> bool:
        active = sum(progress.counts[state] for state in ACTIVE_STATES)
        return progress.is_over or (for_one and active < len(self._job_ids))

    def _advance_if_due(self) -> None:
        """Advance a study on a cluster, less and less often."""
        if time.monotonic() < self._next_advance_at or not any(one.array for one in self.ledger.live_submissions):
            return
        from seedfold.orchestrator.schedulers.advance import advance

        # A scheduler that does not reply is asked again later. The jobs are not affected.
        with contextlib.suppress(UnreachableError):
            advance(self._root, self.ledger.study, self.ledger)
        self._advance_every_s = min(1.5 * self._advance_every_s, _LONGEST_PAUSE_S)
        self._next_advance_at = time.monotonic() + self._advance_every_s


def stop_workers(study: StudyFolder) -> int:
    """Ask this machine's workers of a study to stop; the second time they kill their jobs.

    Returns the number of workers.
    """
    workers = [submission.worker_process() for submission in Ledger(study).live_submissions]
    return sum(worker.send_signal(signal.SIGTERM) for worker in workers if worker is not None)
