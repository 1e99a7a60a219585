"""The trials of a search as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedfold.orchestrator.search.analysis import asked_trials
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings

COLUMNS = ("trial", "state", "value", "rung", "epochs")


def trials_table(settings: SearchSettings, history: Sequence[Trial]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the columns, and a row for each trial in the order in which they were started.

    ``value`` is the newest value; with several metrics each has a column with its name instead. ``rung`` is None
    without halving, and ``epochs`` is None before the first value and for a training without epochs. Then follows a
    column for each searched key, None where the trial does not have it.
    """
    values = settings.metrics if len(settings.metrics) > 1 else ("value",)
    if len(settings.directions) > 1 and not settings.metrics:
        values = tuple(f"value_{number}" for number in range(len(settings.directions)))
    columns = ("trial", "state", *values, "rung", "epochs", *settings.space)
    return columns, [_row(settings, trial, values) for trial in asked_trials(history)]


def _row(settings: SearchSettings, trial: Trial, values: Sequence[str]) -> dict[str, Any]:
    newest = trial.value or (None,) * len(values)
    return {
        "trial": trial.number,
        "state": trial.state,
        **dict(zip(values, newest, strict=True)),
        "rung": None if settings.halving is None else trial.rung,
        "epochs": trial.epochs or None,
        **{key: trial.params.get(key) for key in settings.space},
    }
