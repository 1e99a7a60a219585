"""The finished jobs of a study, as tables and reports know them."""

from __future__ import annotations

from collections.abc import Iterable

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.store.finished_job import Run
from seedfold.results.store.published import damage


def finished_runs(overview: Overview, selection: Selection | None = None) -> list[Run]:
    """One run per place of the study whose job has a whole result; a job that stands at two places gives two.

    Its axes are those of the study, and one more for each key in which jobs of a stage differ unnamed.

    A job that runs again, or failed to, keeps its older result, marked stale, until a newer one is complete.
    """
    named = overview.named()
    found = (_run(overview, view, named[view.job.address]) for view in overview.places(selection))
    return [run for run in found if run is not None]


def _run(overview: Overview, view: JobView, job: JobDescription) -> Run | None:
    standing = view.standing
    if standing.state == "done":
        folder = standing.home.published(job.id, standing.attempt)
        return Run(job.id, job.study, job.stage, job.axes, standing.attempt, folder, view.stale, job.config)
    older = overview.ledger.record(job.id).done
    if older is None:
        return None
    folder = overview.folder.published(job.id, older["n"])
    if damage(folder, older["files"]):
        return None
    stale = f"attempt {older['n']}; a later one is {standing.state}"
    return Run(job.id, job.study, job.stage, job.axes, older["n"], folder, stale, job.config)


def stale_runs(runs: Iterable[Run]) -> int:
    """How many of the runs no longer hold."""
    return sum(run.stale is not None for run in runs)
