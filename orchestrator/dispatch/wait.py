"""Waiting for the jobs of a launch, and stopping the workers of this machine."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.slot_waits import wait_of
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.state.job_states import ALIVE, Standing, Standings, count_states

POLL_S = 0.3


_FIRST_PAUSE_S = 5.0


_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How the awaited jobs stand: counts by state, and whether anybody is still at work on them.

    ``waits_for`` says for what, where none of them runs and their worker knows.
    """

    counts: Mapping[str, int]
    running: tuple[JobDescription, ...]
    over: bool
    waits_for: str = ""


class Waiter:
    """Watches the jobs of a launch. Whoever works on them, and however often this is asked, nothing is changed."""

    def __init__(self, root: Root, study: StudyFolder, jobs: Sequence[str]) -> None:
        self.jobs = jobs
        self._named = frozenset(jobs)
        self._done: dict[str, Standing] = {}
        self.ledger = Ledger(study)
        assert self.ledger.plans.header is not None
        policies = Policies.parse(self.ledger.plans.header.settings["failures"])
        self.standings = Standings(root, self.ledger, policies)
        self._root = root
        self._advance_at, self._pause_s = time.monotonic() + _FIRST_PAUSE_S, _FIRST_PAUSE_S

    def look(self) -> Progress:
        """Look once. A job that was seen done is not looked at again: of thousands, few are in question."""
        self.standings.refresh()
        standings = {job: self._done.get(job) or self.standings.of(job) for job in self.jobs}
        self._done = {job: one for job, one in standings.items() if one.state == "done"}
        running = tuple(self.ledger.plans.jobs[job] for job, one in standings.items() if one.state == "running")
        over = not any(one.state in ALIVE for one in standings.values())
        waits_for = "" if running or over else self._waits_for()
        return Progress(count_states(standings.values()), running, over, waits_for)

    def _waits_for(self) -> str:
        texts = (wait_of(one.folder) for one in self.ledger.live if not self._named.isdisjoint(one.jobs))
        return next(filter(None, texts), "")

    def wait(self, show: Callable[[Progress], None]) -> Progress:
        """Look until nobody is at work on any of the jobs."""
        while not (progress := self.look()).over:
            show(progress)
            time.sleep(POLL_S)
            self._advance()
        show(progress)
        return progress

    def _advance(self) -> None:
        """See on a cluster, less and less often, what has ended without a word, and what is to follow."""
        if time.monotonic() < self._advance_at or not any(one.array for one in self.ledger.live):
            return
        from seedfold.orchestrator.schedulers.advance import advance

        # A scheduler that does not answer is asked again later: the jobs go on without it.
        with contextlib.suppress(UnreachableError):
            advance(self._root, self.ledger.study)
        self._pause_s = min(1.5 * self._pause_s, _LONGEST_PAUSE_S)
        self._advance_at = time.monotonic() + self._pause_s


def stop_workers(study: StudyFolder) -> int:
    """Ask this machine's workers of a study to stop; asked a second time they kill. Returns how many were asked."""
    workers = [submission.worker() for submission in Ledger(study).live]
    return sum(worker.signal(signal.SIGTERM) for worker in workers if worker is not None)
