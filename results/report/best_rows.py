"""The best setting of a table of the report."""

from __future__ import annotations

from collections.abc import Sequence

from seedfold.results.comparison.best_setting import BestSetting, Setting, choose_column, find_best_settings
from seedfold.results.report.headline import ReportRow, ReportTable


def best_of_table(table: ReportTable, over: Sequence[str]) -> list[BestSetting]:
    """Return the best settings of a table of means over the axes ``over``, one for each problem."""
    column = choose_column(_parts(name) for name in table.columns)
    if column is None:
        return []
    rows = [setting for row in table.rows if (setting := _setting(row, " ".join(column))) is not None]
    return find_best_settings(rows, column, over, table.problem, table.compared)


def _parts(column: str) -> tuple[str, str]:
    split, _, metric = column.partition(" ")
    return split, metric


def _setting(row: ReportRow, column: str) -> Setting | None:
    cell = row.cells.get(column)
    if cell is None or cell.value is None:
        return None
    text = cell.text.partition(" (")[0]
    return Setting(row.group.stage, row.head, row.group.axes, cell.value, text, row.jobs, row.group.runs)
