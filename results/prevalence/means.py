"""The tables of prevalence shift in brief: means over tasks, ratios and jobs of what each compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_COMPARED_COLUMNS = {
    "quantification_error": ["method"],
    "calibration": ["method", "priors", "split"],
    "performance": ["calibration", "priors", "split"],
    "decisions": ["calibration", "priors", "rule"],
}
_WIDE_COLUMNS = {"calibration": ["cwce", "rbs", "bs", "nbs"]}


def summarise_table(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return what is compared (and the stage, if there are several), metric, mean, sd; undefined values left out.

    Of estimates, the errors are shown.
    """
    name, long = _to_long(name, table)
    keys = [*(["stage"] if "stage" in long else []), *_COMPARED_COLUMNS[name], "metric"]
    grouped = long.groupby(keys, sort=False)["value"]
    return grouped.agg(mean="mean", sd="std").reset_index()


def _to_long(name: str, table: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    if name in _WIDE_COLUMNS:
        others = [column for column in table.columns if column not in _WIDE_COLUMNS[name]]
        return name, table.melt(others, _WIDE_COLUMNS[name], "metric", "value")
    if name == "quantification":
        from seedfold.results.prevalence.tables import quantification_errors

        return "quantification_error", quantification_errors(table)
    return name, table
