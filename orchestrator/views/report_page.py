"""The report of a study: what the ledger knows of it, handed to the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.state.finished_jobs import finished_runs
from seedfold.orchestrator.state.overview import Overview, notes, to_json
from seedfold.results.store.finished_job import Run

if TYPE_CHECKING:
    from seedfold.results.report.figures import Figure


def report_of(overview: Overview, out: Path | None = None) -> Path:
    """Write the report, by default to ``outputs/report.html`` in the study's folder; return its path."""
    from seedfold.results.report.page import write_report

    views, runs = overview.places(), finished_runs(overview)
    shape = to_json(overview.folder.name, views)
    path = out or overview.folder.outputs / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(
        path,
        study=overview.folder.name,
        runs=runs,
        states=shape["states"],
        failures=shape["failures"],
        overview=_summary(overview, shape, notes(overview, views)),
        planned=list(overview.named().values()),
        log_of=_log,
        more_figures=_of_prevalence_shift(overview, runs),
    )
    return path


def _of_prevalence_shift(overview: Overview, runs: Sequence[Run]) -> list[Figure]:
    """Figures of the tables that were made before: a report computes none."""
    from seedfold.orchestrator.views.prevalence_tables import cache_of
    from seedfold.results.prevalence.tables import at_hand

    tables = at_hand(runs, cache_of(overview.folder))
    if not tables:
        return []
    from seedfold.results.prevalence.charts import charts

    return [chart.figure() for chart in charts(tables)]


def _summary(overview: Overview, shape: dict[str, Any], told: list[str]) -> dict[str, Any]:
    header = overview.ledger.plans.header
    asked = (
        {} if header is None else {"user": header.user, "host": header.host, "asked for": " ".join(header.overrides)}
    )
    stages = {stage: {state: n for state, n in counts.items() if n} for stage, counts in shape["stages"].items()}
    return {"jobs": shape["jobs"], **asked, **({"notes": "; ".join(told)} if told else {}), "stages": stages}


def _log(run: Run) -> Path | None:
    """The log of the attempt that a run is the result of, in the study that holds it."""
    log = StudyFolder(run.folder.parents[2]).log(run.id, run.attempt)
    return log if log.exists() else None
