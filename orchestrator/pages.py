"""The report of a study: what the ledger knows of it, handed to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seedfold.orchestrator.layout import StudyFolder
from seedfold.orchestrator.overview import Overview, notes, to_json
from seedfold.orchestrator.runs import finished_runs
from seedfold.results.run import Run


def report_of(overview: Overview, out: Path | None = None) -> Path:
    """Write the report, by default to ``outputs/report.html`` in the study's folder; return its path."""
    from seedfold.results.report import write_report

    views = overview.places()
    shape = to_json(overview.folder.name, views)
    path = out or overview.folder.outputs / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(
        path,
        study=overview.folder.name,
        runs=finished_runs(overview),
        states=shape["states"],
        failures=shape["failures"],
        overview=_summary(overview, shape, notes(overview, views)),
        planned=list(overview.named().values()),
        log_of=_log,
    )
    return path


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
