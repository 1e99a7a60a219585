"""Cancelling jobs: nothing is deleted, and `resume` starts them again."""

from __future__ import annotations

import time

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.dispatch.resume import each_once
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.settings.failures import Policies
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import Standings

_LATER_S = 0.001


def cancel(
    root: Root, name: str, *, selection: Selection | None = None, pending_only: bool = False
) -> list[JobDescription]:
    """Cancel what is not done: running jobs are killed unless ``pending_only``. Returns the cancelled jobs."""
    folder = root.existing(name)
    refuse_copy(folder)
    ledger = Ledger(folder)
    assert ledger.plans.header is not None
    standings = Standings(root, ledger, Policies.parse(ledger.plans.header.settings["failures"]))
    stop = {"waiting", "submitted", "blocked", "lost"} | (set() if pending_only else {"running"})
    own = [job for job in each_once(ledger.plans.current.values()) if not is_import(job)]
    jobs = [job for job in own if standings.of(job.id).state in stop]
    if selection is not None:
        selection.check(ledger.plans.current.values())
        jobs = selection.apply(jobs, lambda job: job)
    if jobs:
        writer = EventWriter(folder.events)
        now = max(time.time(), *(ledger.record(job.id).resumed_at + _LATER_S for job in jobs))
        writer.tell("cancelled", t=round(now, 3), jobs={job.id: ledger.record(job.id).latest for job in jobs})
        writer.close()
        _take_out_of_queue(ledger)
    return jobs


def _take_out_of_queue(ledger: Ledger) -> None:
    """Have the scheduler drop tasks that have not begun and hold nothing but cancelled jobs; the others end alone."""
    if not any(submission.array for submission in ledger.live):
        return
    from seedfold.orchestrator.schedulers.ended_tasks import drop_cancelled

    ledger.refresh()
    drop_cancelled(ledger)
