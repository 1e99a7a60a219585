"""The trials of a search as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedfold.orchestrator.search.analysis import asked_trials
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("trial", "state", "value", "rung", "epochs")


def trials_frame(settings: SearchSettings, history: Sequence[Trial]) -> pd.DataFrame:
    """Return the rows of `trials_table` as a DataFrame, also without trials."""
    import pandas as pd

    columns, rows = trials_table(settings, history)
    frame = pd.DataFrame([[row[name] for name in columns] for row in rows], columns=list(columns), dtype=object)
    # Whole numbers stay whole numbers where some are missing.
    counts = dict.fromkeys(("trial", "rung", "epochs"), "Int64")
    values = dict.fromkeys((name for name in columns if name.split("_")[0] == "value"), "float64")
    return frame.astype({**counts, **values}).infer_objects()


def trials_table(settings: SearchSettings, history: Sequence[Trial]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the columns, and a row for each trial in the order in which they were started.

    ``value`` is the newest value; of several metrics, each has a column ``value_NAME`` instead. ``rung`` is None
    without halving, and ``epochs`` is None before the first value and for a training without epochs. Then follows a
    column for each searched key, None where the trial does not have it.
    """
    names = settings.metrics or tuple(map(str, range(len(settings.directions))))
    values = ("value",) if len(names) == 1 else tuple(f"value_{name}" for name in names)
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
