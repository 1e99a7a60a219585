"""The finished jobs of a study, for tables and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.code.comparison import CodeComparison
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.code_axis import CodeAxis, find_code_axis
from seedfold.orchestrator.state.code_versions import NOW, FinishedAttempt
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.orchestrator.state.stale_lines import WaysOn, package_lines, stale_lines
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import find_damage

_ENDED_STATES = frozenset({"blocked", "cancelled", "lost"})
_Finished = tuple[FinishedJob, FinishedAttempt]


@dataclass(frozen=True)
class FinishedJobs:
    """The finished jobs, told apart by the version of the code that computed them; ``code_axis`` says how.

    ``views`` are those of all jobs that were asked about, ``comparison`` compares their code.
    """

    jobs: list[FinishedJob]
    code_axis: CodeAxis
    views: Sequence[JobView]
    comparison: CodeComparison

    def with_code(self, planned: Iterable[JobDescription]) -> list[JobDescription]:
        """Return planned jobs with the axis of the code; those without a result would be computed by today's."""
        stages = {job.stage for job in self.jobs if self.code_axis.name in job.axes}
        axis = self.code_axis
        return [
            replace(job, axes={**job.axes, axis.name: axis.values.get(job.id, NOW)}) if job.stage in stages else job
            for job in planned
        ]

    def notes(self, study_name: str) -> list[str]:
        """Say which results are not what would be computed today, and which are kept apart, one line each."""
        stale = stale_lines(self.views, WaysOn.by_command(study_name))
        lines = [*stale, *package_lines(self.views, self.comparison), self.code_axis.note()]
        earlier = sum(view.state != "done" for view in self.views if view.job.id in {job.id for job in self.jobs})
        if earlier:
            verb = "is of an earlier attempt" if earlier == 1 else "are of earlier attempts"
            lines.append(
                f"{earlier} of {count_noun(len(self.jobs), 'result')} {verb}; see seedfold status {study_name}"
            )
        return [line for line in lines if line]


def find_finished_jobs(
    overview: Overview, selection: Selection | None = None, across_code: bool = False
) -> list[FinishedJob]:
    """One run for each address of the study whose job has a complete result; a job with two addresses gives two runs.

    A run has the axes of the study, and one more for each other key in which jobs of a stage differ. The version of the
    code is one of these, unless ``across_code``.

    A job that runs again, or failed in the new run, keeps its older result, marked as stale, until a newer one is
    complete.
    """
    return find_by_code(overview, selection, across_code).jobs


def find_by_code(overview: Overview, selection: Selection | None = None, across_code: bool = False) -> FinishedJobs:
    """Return what `find_finished_jobs` does, and the axis of the code."""
    named = overview.jobs_by_address()
    views = [view for view in overview.job_views(selection) if view.job.address in named]
    found = [_finished_job(overview, view, named[view.job.address]) for view in views]
    finished = [pair for pair in found if pair is not None]
    axis = _code_axis(overview, finished) if not across_code else CodeAxis("", {}, ())
    return FinishedJobs([_with_code(run, axis) for run, _ in finished], axis, views, overview.code)


def _code_axis(overview: Overview, finished: Sequence[_Finished]) -> CodeAxis:
    return find_code_axis(overview.code, overview.states, [attempt for _, attempt in finished])


def _with_code(run: FinishedJob, axis: CodeAxis) -> FinishedJob:
    extra = axis.axes_of(run.id)
    return replace(run, axes={**run.axes, **extra}) if extra else run


def _finished_job(overview: Overview, view: JobView, job: JobDescription) -> _Finished | None:
    job_state = view.job_state
    if job_state.state == "done" and job_state.event is not None:
        folder = job_state.holding_study.result_folder(job.id, job_state.attempt)
        run = FinishedJob(job.id, job.study, job.stage, job.axes, job_state.attempt, folder, view.stale, job.config)
        return run, FinishedAttempt(job, job_state.holding_study, job_state.event)
    older_event = overview.ledger.record_of(job.id).done_event
    if older_event is None:
        return None
    folder = overview.folder.result_folder(job.id, older_event["n"])
    if find_damage(folder, older_event["files"], result=older_event.get("result")):
        return None
    stale = f"attempt {older_event['n']}; a later one is {job_state.state}"
    run = FinishedJob(job.id, job.study, job.stage, job.axes, older_event["n"], folder, stale, job.config)
    return run, FinishedAttempt(job, overview.folder, older_event)


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
    """How many of the runs are stale."""
    return sum(run.stale is not None for run in jobs)


def stale_reasons(jobs: Iterable[FinishedJob], listed: int = 3) -> list[str]:
    """Why runs are stale: the most frequent reasons."""
    reasons = Counter(run.stale for run in jobs if run.stale is not None)
    more = ["…"] if len(reasons) > listed else []
    return [*(reason for reason, _ in reasons.most_common(listed)), *more]
