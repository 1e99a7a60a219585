"""The report of a study: reads the data from the ledger and passes it to the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.finished_jobs import find_by_code, reasons_without_result
from seedfold.orchestrator.state.overview import Overview, status_notes, status_to_json
from seedfold.orchestrator.state.reused_outputs import copy_reused_outputs
from seedfold.results.store.finished_job import FinishedJob

if TYPE_CHECKING:
    from seedfold.results.report.figures import Figure


def write_study_report(overview: Overview, out: Path | None = None, across_code: bool = False) -> Path:
    """Write the report, by default to ``outputs/report.html`` in the study's folder; return its path.

    A report of some of the jobs does not replace it: that is ``outputs/report_selected.html``.

    Results of several versions of the code are told apart, unless ``across_code``.
    """
    from seedfold.results.report.comparison_figures import comparison_figures
    from seedfold.results.report.page import write_report

    views, finished = overview.job_views(), find_by_code(overview, across_code=across_code)
    runs, planned = finished.jobs, list(overview.jobs_by_address().values())
    planned_by_code = finished.with_code(planned)
    summary = status_to_json(overview.folder.name, views)
    report_file = overview.folder.report_file
    path = out or (report_file.with_stem(f"{report_file.stem}_selected") if overview.only.text else report_file)
    if out is None:
        copy_reused_outputs(overview.folder, overview.states, list(overview.jobs_at_addresses().values()))
    write_report(
        path,
        study=overview.folder.name,
        runs=runs,
        states=summary["states"],
        failures=summary["failures"],
        overview=_report_summary(overview, summary, status_notes(overview, views)),
        planned=planned,
        planned_by_code=planned_by_code,
        find_log=_log_path,
        more_figures=[
            *comparison_figures(runs, planned_by_code, overview.report_settings.compare),
            *_search_figures(overview),
            *_prevalence_figures(overview, runs),
        ],
        reasons=reasons_without_result(overview, runs),
        compare=overview.report_settings.compare,
        first=overview.report_settings.first,
    )
    return path


def _search_figures(overview: Overview) -> list[Figure]:
    """Figures of the study's search, if it has one."""
    if SEARCH not in overview.settings:
        return []
    from seedfold.orchestrator.search.study_search import StudySearch
    from seedfold.orchestrator.views.search_figures import search_figures

    search = StudySearch(overview.states)
    return list(search_figures(search.settings, search.history()))


def _prevalence_figures(overview: Overview, runs: Sequence[FinishedJob]) -> list[Figure]:
    """Figures of tables that have been computed before; a report computes no such table."""
    from seedfold.orchestrator.views.prevalence_tables import find_cache_folder
    from seedfold.results.prevalence.tables import read_existing_tables

    tables = read_existing_tables(runs, find_cache_folder(overview.folder))
    if not tables:
        return []
    from seedfold.results.prevalence.charts import make_charts

    return [chart.to_figure() for chart in make_charts(tables)]


def _report_summary(overview: Overview, overview_counts: dict[str, Any], notes_text: list[str]) -> dict[str, Any]:
    header = overview.ledger.plans.header
    plan_info = (
        {} if header is None else {"user": header.user, "host": header.host, "asked for": " ".join(header.overrides)}
    )
    stages = {
        stage: {state: n for state, n in counts.items() if n} for stage, counts in overview_counts["stages"].items()
    }
    return {
        "jobs": overview_counts["jobs"],
        **({"selected by": overview.only.text} if overview.only.text else {}),
        **plan_info,
        **({"notes": "; ".join(notes_text)} if notes_text else {}),
        "stages": stages,
    }


def _log_path(run: FinishedJob) -> Path | None:
    """The log of the attempt that a run comes from, in the study that holds the attempt."""
    log = StudyFolder(run.folder.parents[2]).log_file(run.id, run.attempt)
    return log if log.exists() else None
