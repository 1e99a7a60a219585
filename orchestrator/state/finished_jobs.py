"""The finished jobs of a study, as tables and reports know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import find_damage

_ENDED_STATES = frozenset({"blocked", "cancelled", "lost"})


def find_finished_jobs(overview: Overview, selection: Selection | None = None) -> list[FinishedJob]:
    """One run per place of the study whose job has a whole result; a job that stands at two places gives two.

    Its axes are those of the study, and one more for each key in which jobs of a stage differ unnamed.

    A job that runs again, or failed to, keeps its older result, marked stale, until a newer one is complete.
    """
    named = overview.jobs_by_address()
    finished_jobs = (_finished_job(overview, view, named[view.job.address]) for view in overview.job_views(selection))
    return [run for run in finished_jobs if run is not None]


def _finished_job(overview: Overview, view: JobView, job: JobDescription) -> FinishedJob | None:
    job_state = view.job_state
    if job_state.state == "done":
        folder = job_state.holding_study.result_folder(job.id, job_state.attempt)
        return FinishedJob(job.id, job.study, job.stage, job.axes, job_state.attempt, folder, view.stale, job.config)
    older_event = overview.ledger.record_of(job.id).done_event
    if older_event is None:
        return None
    folder = overview.folder.result_folder(job.id, older_event["n"])
    if find_damage(folder, older_event["files"]):
        return None
    stale = f"attempt {older_event['n']}; a later one is {job_state.state}"
    return FinishedJob(job.id, job.study, job.stage, job.axes, older_event["n"], folder, stale, job.config)


def reasons_without_result(overview: Overview, finished_jobs: Sequence[FinishedJob]) -> dict[str, str]:
    """Why jobs of the study have no result, by id: ``failed (nan)``, ``not finished (running)``."""
    finished_ids = {job.id for job in finished_jobs}
    jobs = (job for job in overview.jobs_at_addresses().values() if job.id not in finished_ids)
    return {job.id: _reason_without_result(overview.job_view(job)) for job in jobs}


def _reason_without_result(view: JobView) -> str:
    if view.state == "failed":
        return f"failed ({view.failure_json()['kind']})"
    return view.state if view.state in _ENDED_STATES else f"not finished ({view.state})"


def count_stale(jobs: Iterable[FinishedJob]) -> int:
    """How many of the runs no longer hold."""
    return sum(run.stale is not None for run in jobs)


def stale_reasons(jobs: Iterable[FinishedJob], listed: int = 3) -> list[str]:
    """Why runs no longer hold: the most frequent reasons."""
    reasons = Counter(run.stale for run in jobs if run.stale is not None)
    more = ["…"] if len(reasons) > listed else []
    return [*(reason for reason, _ in reasons.most_common(listed)), *more]
