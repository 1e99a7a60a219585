"""What the page shows of a search: its best trials, how it went, which keys mattered, and its rungs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.page.kept_studies import KeptStudy

_MOST_TRIALS = 500
"""How many trials are listed and drawn, the best ones; of a search that is larger, the page says so."""


def has_search(study: KeptStudy) -> bool:
    """Whether the study searches."""
    return SEARCH in study.overview.settings


def make_search(study: KeptStudy) -> dict[str, Any]:
    """Return what is known of the search; only a note that says why if there is none."""
    if not has_search(study):
        return {"note": "this study searches nothing"}
    return study.once(study.snapshot().version, ("search",), lambda: _describe(study))


def _describe(study: KeptStudy) -> dict[str, Any]:
    from seedfold.orchestrator.search.analysis import optimisation_history, parallel_coordinates, ranked, rungs_table
    from seedfold.orchestrator.search.importance import importance
    from seedfold.orchestrator.search.study_search import StudySearch
    from seedfold.orchestrator.search.summary import search_lines
    from seedfold.orchestrator.search.trials_table import trials_table

    with study.lock:
        search = StudySearch(study.overview.states)
        settings, history, lines = search.settings, search.history(), search_lines(search)
    columns, rows = trials_table(settings, history)
    order = {trial.number: place for place, trial in enumerate(ranked(settings, history))}
    best = sorted(rows, key=lambda row: order.get(row["trial"], len(order)))[:_MOST_TRIALS]
    places = parallel_coordinates(settings, history)
    return {
        "lines": lines,
        "metric": settings.metrics[0] if settings.metrics else "value",
        "columns": columns,
        "total": len(rows),
        "trials": [[row[name] for name in columns] for row in best],
        "history": [asdict(told) for told in optimisation_history(settings, history)],
        "importance": list(importance(settings, history).items()),
        "rungs": [asdict(row) for row in rungs_table(settings, history)],
        "axes": [{"key": axis.key, "ticks": dict(axis.ticks)} for axis in places.axes],
        "points": [[number, *row, value] for number, row, value in places.rows[-_MOST_TRIALS:]],
    }
