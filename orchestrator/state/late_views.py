"""Done and queued jobs that are alike, and what a view of one of them reads when somebody asks for it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.state.job_states import JobState
from seedfold.orchestrator.state.job_views import DoneGroup, JobView, QueuedView


class LateViews:
    """Makes groups of the jobs of a ledger, and reads descriptions, events and axis values of their jobs.

    ``lock`` is held meanwhile: other threads may refresh the ledger.
    """

    def __init__(self, ledger: Ledger, lock: AbstractContextManager[Any]) -> None:
        self._ledger, self._lock = ledger, lock

    def group(self, example: JobView, rows: Sequence[int], places: Sequence[int]) -> DoneGroup:
        """Return the group of the jobs at some places; ``rows`` are those of all places in the plans."""
        planned, table = array("i", [rows[place] for place in places]), self._ledger.table
        done = table.rows_with(self._ledger.plans.table.ids[row] for row in planned)
        ended, seconds = (array("d", [times[row] for row in done]) for times in (table.times, table.seconds))
        return DoneGroup(example, array("i", places), ended, seconds, [table.attempts[row] for row in done], planned)

    def queued(self, example: JobView, rows: Sequence[int], places: Sequence[int]) -> dict[int, JobView]:
        """Return the views, by place, of jobs that wait in a queue as the example does."""
        ids = self._ledger.plans.table.ids
        return {place: QueuedView(ids[rows[place]], example, rows[place], self) for place in places}

    def read_job(self, row: int) -> JobDescription:
        """Return the description of the job in a row of the plans."""
        with self._lock:
            return self._ledger.plans.table.job(row)

    def read_view(self, group: DoneGroup, number: int) -> JobView:
        """Return the view of a job of a group: what was found of all of them needs not be found again."""
        ledger, attempt, study = self._ledger, group.attempts[number], group.example.job_state.holding_study
        with self._lock:
            job = ledger.plans.table.job(group.rows[number])
            event = ledger.latest_event(job.id)
            if event is None or event["e"] != "done" or event["n"] != attempt:
                # It was begun again since the group was made.
                event = ledger.record_of(job.id).last_events.get(attempt)
        return JobView(job, JobState("done", study, attempt, event=event), group.example.changes)

    def read_axes(self, rows: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """Return the axis values of the jobs in some rows of the plans."""
        with self._lock:
            return self._ledger.plans.table.axis_values(rows)
