"""Tables of prevalence shift over the finished jobs of a study.

Computed parts are kept in its folder ``cache/prevalence/``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.finished_jobs import FinishedJobs, find_by_code
from seedfold.orchestrator.state.overview import Overview
from seedfold.results.evaluation.axes import axis_names, select_runs
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.prevalence.table_means import check_columns
from seedfold.results.prevalence.tables import AnalysisTable, make_analysis, record_settings
from seedfold.results.store.finished_job import FinishedJob


def find_cache_folder(study: StudyFolder) -> Path:
    """The folder for computed parts of tables: in the study or, if it belongs to another user, in this user's cache."""
    if os.access(study.path, os.W_OK):
        return study.path / "cache" / "prevalence"
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_cache).expanduser() / "seedfold" / study.name / "prevalence"


def compute_analysis(
    overview: Overview,
    name: str,
    settings: AnalysisSettings,
    where: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
    by: Sequence[str] = (),
    across_code: bool = False,
) -> tuple[AnalysisTable, FinishedJobs]:
    """Return a table of the chosen finished jobs, computed on all cores if it is not in the cache, and all these jobs.

    ``by`` are columns for which means will be asked. Raises UsageError if there is nothing to analyse, and for a
    column that the table will not have.
    """
    study = overview.folder
    finished = find_by_code(overview, across_code=across_code)
    runs = finished.jobs
    if not runs:
        raise UsageError(f"{study.name}: no job is done yet; see seedfold status {study.name}")
    check_columns(name, by, axis_names(runs))
    chosen, _ = select_runs(runs, where or None)
    cache = find_cache_folder(study)
    analysis = make_analysis(name, _unique_by_id(chosen), settings, cache, _count_cores(), progress)
    record_settings(cache, name, settings)
    return analysis, finished


def _unique_by_id(runs: Sequence[FinishedJob]) -> list[FinishedJob]:
    """The runs, each job once: a job with two addresses is analysed at the first of them."""
    return list({run.id: run for run in reversed(runs)}.values())[::-1]


def _count_cores() -> int:
    import joblib

    return int(joblib.cpu_count())
