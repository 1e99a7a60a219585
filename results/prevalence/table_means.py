"""Short forms of the tables of prevalence shift: means over tasks, ratios and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seedfold.jobs.conditions import find_axis
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.evaluation.axes import CODE_AXES

if TYPE_CHECKING:
    import pandas as pd

_COMPARED_COLUMNS = {
    "quantification": ["class"],
    "quantification_error": ["method"],
    "calibration": ["method", "priors", "split"],
    "performance": ["calibration", "priors", "split"],
    "decisions": ["calibration", "priors", "rule"],
}
PEERS = {"quantification": ["class"], "calibration": ["split"], "performance": ["split"], "decisions": ["rule"]}
"""Columns whose values are not compared with each other: the best value is marked within each."""
_METRIC_COLUMNS = {"calibration": ["cwce", "rbs", "bs", "nbs"]}
_NUMBERS = ("metric", "value", "estimate", "prevalence", "threshold", "n")
TRUE = "true"
"""In the column of methods, the name of the true prevalences of a deployment."""


def summarise_table(name: str, table: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the stage if there are several, ``by``, the columns that are compared, metric, mean, sd, n, expected.

    Versions of the code stay apart.

    ``n`` counts the values without the undefined ones; ``expected`` is the largest ``n`` in the group of the row: some
    methods exist for two classes only. In a table of estimates, ``metric`` is the method, or `TRUE`; without ``by``,
    there are rows for each task and ratio. Raises UsageError for a column that ``by`` cannot name.
    """
    kept = _columns_to_keep(name, table, by)
    long = _to_long(name, table)
    groups = [*(column for column in ("stage", *CODE_AXES) if column in long and column not in kept), *kept]
    keys = [*groups, *(column for column in [*_COMPARED_COLUMNS[name], "metric"] if column not in groups)]
    grouped = long.groupby(keys, sort=False, dropna=False)["value"]
    found: pd.DataFrame = grouped.agg(mean="mean", sd="std", n="count", rows="size").reset_index()
    found["expected"] = found.groupby([*groups, "metric"], dropna=False)["rows"].transform("max")
    return found.drop(columns="rows")


def check_columns(name: str, by: Sequence[str], axes: Sequence[str]) -> None:
    """Raise UsageError for a column that a table over jobs with these axes will not have, before it is computed."""
    _find_columns(name, by, list(dict.fromkeys(["task", "ratio", *_COMPARED_COLUMNS[name], "stage", *axes])))


def _columns_to_keep(name: str, table: pd.DataFrame, by: Sequence[str]) -> list[str]:
    if name == "quantification" and not by:
        return ["task", "ratio"]
    # In a table of estimates, each method becomes a column.
    numbers = (*_NUMBERS, *_METRIC_COLUMNS.get(name, ()), *(["method"] if name == "quantification" else []))
    return _find_columns(name, by, [str(column) for column in table.columns if column not in numbers])


def _find_columns(name: str, by: Sequence[str], known: Sequence[str]) -> list[str]:
    for given in by:
        if find_axis(given, known) is None:
            listed = ", ".join(known)
            raise UsageError(f"--by {given}: no such column of {name}{did_you_mean(given, known)}; columns: {listed}")
    return [str(find_axis(given, known)) for given in dict.fromkeys(by)]


def _to_long(name: str, table: pd.DataFrame) -> pd.DataFrame:
    if name == "calibration":
        metrics = _METRIC_COLUMNS[name]
        return table.melt([column for column in table.columns if column not in metrics], metrics, "metric", "value")
    return _estimates(table) if name == "quantification" else table


def _estimates(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per job, ratio, class and method; known prevalences are one method more, `TRUE`."""
    import pandas as pd

    estimates = table.rename(columns={"method": "metric", "estimate": "value"}).drop(columns="prevalence")
    first = table[table["method"] == table["method"].iloc[0]] if len(table) else table
    true = first.drop(columns="estimate").rename(columns={"method": "metric", "prevalence": "value"})
    true = true.assign(metric=TRUE)[true["value"].notna()]
    return pd.concat([true, estimates], ignore_index=True) if len(true) else estimates
