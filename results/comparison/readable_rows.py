"""Comparisons as a table for papers and pages: a row for each metric, without constant columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.results.evaluation.axes import format_value, short_names
from seedfold.results.tables.readable import MISSING, Measured, ReadableTable

_PLACES = ("stage", "split", "head")
_MEASURED = {"mean_a": "mean a", "mean_b": "mean b", "difference": "difference", "low": "low", "high": "high"}
_SMALLEST_P = 0.0001

Row = Mapping[str, Any]


def p_text(p: float | None) -> str:
    """Return a p value in four decimals, ``<0.0001`` for a smaller one."""
    return MISSING if p is None else f"<{_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.4f}"


def to_readable(rows: Sequence[Row]) -> ReadableTable:
    """Return rows (`PairedMetric.to_dict`, or those of two jobs) as a table to read.

    Axes, stages, splits and heads that are the same in every row are left out. ``low`` and ``high`` bound the 95 %
    interval, and ``adjusted`` is p corrected by Holm's method.
    """
    import pandas as pd

    columns: dict[str, Sequence[Any]] = {"metric": [row["metric"] for row in rows]}
    columns |= {side: [format_value(row[side]) for row in rows] for side in ("a", "b")}
    columns |= {name: found for name in _PLACES if _differs(found := [row.get(name) for row in rows])}
    columns |= {"n": [_count(row) for row in rows]}
    columns |= {shown: [Measured(row[name]) for row in rows] for name, shown in _MEASURED.items()}
    columns |= {"p": [p_text(row["p"]) for row in rows], "adjusted": [p_text(row["p_adjusted"]) for row in rows]}
    columns |= {"test": [row["test"] or MISSING for row in rows]}
    axes = dict.fromkeys(name for row in rows for name in row["axes"])
    shared = {name: found for name in axes if _differs(found := [row["axes"].get(name) for row in rows])}
    short = short_names(list(shared))
    named = {f"axis {short[name]}" if short[name] in columns else short[name]: found for name, found in shared.items()}
    return ReadableTable(pd.DataFrame(named | columns, dtype=object), tuple(_MEASURED.values()))


def _differs(values: Sequence[Any]) -> bool:
    return len({format_value(value) for value in values}) > 1


def _count(row: Row) -> str:
    """Return the number of pairs or samples and, if some are missing, the expected number."""
    return str(row["n"]) if row.get("expected", row["n"]) == row["n"] else f"{row['n']} of {row['expected']}"
