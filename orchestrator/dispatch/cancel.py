"""Cancels jobs. Nothing is deleted, and `resume` starts them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.dispatch.resume import unique_by_id
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter, time_after
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.owners import count_by_other_users
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.selection import Selection, TellSelected
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import JobStates

STATES_TO_CANCEL = frozenset({"waiting", "submitted", "running", "blocked", "lost"})
"""States of jobs that have not ended."""


def is_to_cancel(job: JobDescription, state: str) -> bool:
    """Whether `cancel` cancels a job that is in this state: it has not ended, and is none that was imported."""
    return state in STATES_TO_CANCEL and not is_import(job)


@dataclass(frozen=True, slots=True)
class CancelResult:
    """The jobs that were cancelled, without those that were done in the meantime.

    ``running`` are those that their workers have not stopped yet: a job that is done before that stays done.
    ``of_others`` says how many of them other users had submitted, by user.
    ``unreachable`` is the error if the scheduler did not reply: cancelled jobs may still be in its queue.
    """

    jobs: tuple[JobDescription, ...] = ()
    running: tuple[JobDescription, ...] = ()
    of_others: Mapping[str, int] = field(default_factory=dict)
    unreachable: str | None = None

    def note(self, study: str) -> str | None:
        """What is to be known if the scheduler did not reply; None if it did."""
        if self.unreachable is None:
            return None
        return (
            f"{self.unreachable}; cancelled jobs may still be in its queue: they do not run, and the next"
            f" seedfold status {study} or seedfold cancel {study} takes them out"
        )


def cancel(
    root: Root,
    name: str,
    *,
    selection: Selection | None = None,
    pending_only: bool = False,
    tell: TellSelected | None = None,
) -> CancelResult:
    """Cancel the jobs that are not done. Running jobs are killed, unless ``pending_only``.

    ``tell`` is told the jobs before anything happens to them.
    """
    folder = root.existing_study(name)
    refuse_copy(folder)
    ledger = Ledger(folder)
    assert ledger.plans.header is not None
    states = JobStates(root, ledger, RetryPolicies.parse(ledger.plans.header.settings["failures"]))
    found = ((job, states.of(job.id).state) for job in unique_by_id(ledger.plans.held_jobs().values()))
    jobs = [job for job, state in found if is_to_cancel(job, state) and not (pending_only and state == "running")]
    if selection is not None:
        selection.check_names(ledger.plans.held_jobs().values())
        jobs = selection.apply(jobs, lambda job: job)
    if tell is not None:
        tell(jobs)
    of_others = count_by_other_users(ledger, (job.id for job in jobs))
    ids = [job.id for job in jobs]
    if SEARCH in ledger.plans.header.settings and selection in (None, Selection()) and not pending_only:
        ids.append(SEARCH_JOB)
    if ids:
        writer = EventWriter(folder.events_folder)
        now = time_after(ledger.record_of(job).resumed_at for job in ids)
        writer.append("cancelled", t=now, jobs={job: ledger.record_of(job).latest_attempt for job in ids})
        writer.close()
    unreachable = _remove_cancelled_from_queue(ledger)
    states.refresh()
    state_names = {job.id: states.of(job.id).state for job in jobs}
    return CancelResult(
        jobs=tuple(job for job in jobs if state_names[job.id] != "done"),
        running=tuple(job for job in jobs if state_names[job.id] == "running"),
        of_others=of_others,
        unreachable=unreachable,
    )


def _remove_cancelled_from_queue(ledger: Ledger) -> str | None:
    """Cancel the scheduler's tasks that have not begun and have only cancelled jobs; other tasks end by themselves.

    Returns the error if the scheduler did not reply; the next call of `advance` cancels them then.
    """
    if not any(submission.array for submission in ledger.live_submissions):
        return None
    from seedfold.orchestrator.schedulers.cancelled_tasks import remove_cancelled_from_queue

    ledger.refresh()
    try:
        remove_cancelled_from_queue(ledger)
    except UnreachableError as error:
        return str(error)
    return None
