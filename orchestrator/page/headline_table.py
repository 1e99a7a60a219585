"""The headline table of a study: means over seeds and folds, computed as those of the report are."""

from __future__ import annotations

from typing import Any

from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.finished_jobs import find_by_code
from seedfold.results.evaluation.axes import format_value, short_names
from seedfold.results.evaluation.metric_names import column_name
from seedfold.results.report.best_rows import best_of_table
from seedfold.results.report.headline import Cell, ReportRow, ReportTable, make_mean_table
from seedfold.results.report.page import MAX_ROWS
from seedfold.results.tables.result_tables import averaged_axes


def make_headline(study: KeptStudy) -> dict[str, Any] | None:
    """Return columns, rows and caption; None if no job is done."""
    with study.long_reading() as overview:
        finished = find_by_code(overview)
        planned = finished.with_code(list(overview.jobs_by_address().values()))
        compare = overview.report_settings.compare
    read = {run.id: study.results.read(run.id, run.attempt, run.folder) for run in finished.jobs}
    results = {job: result for job, result in read.items() if result is not None}
    runs = [run for run in finished.jobs if run.id in results]
    if not runs:
        return None
    over = averaged_axes(runs)
    table = make_mean_table(runs, results, over, MAX_ROWS, planned, compare)
    return {
        "best": [each.to_json() for each in best_of_table(table, over)],
        "columns": _columns(table),
        "rows": [_row(table, row) for row in table.rows],
        "caption": _caption(table, over),
    }


def _columns(table: ReportTable) -> list[dict[str, str]]:
    first = [
        *(["stage"] if table.has_stages else []),
        *table.axes,
        *(["head"] if table.has_heads else []),
        "jobs",
    ]
    kinds = dict.fromkeys(table.axes, "axis")
    short = short_names(list(table.axes))
    named = [{"key": key, "name": short.get(key, key), "kind": kinds.get(key, "text")} for key in first]
    metrics = {name: column_name(*name.split(" ", 1)) for name in table.columns}
    return [*named, *({"key": key, "name": name, "kind": "metric"} for key, name in metrics.items())]


def _row(table: ReportTable, row: ReportRow) -> list[Any]:
    axes = [axis_value(row.group.axes.get(axis)) for axis in table.axes]
    first = [
        *([row.group.stage] if table.has_stages else []),
        *axes,
        *([row.head] if table.has_heads else []),
        row.jobs,
    ]
    return [*first, *(_cell(row.cells.get(name)) for name in table.columns)]


def axis_value(value: Any) -> Any:
    """A value of an axis as the page gets it: a plain one as it is, lists and mappings as text."""
    return format_value(value) if isinstance(value, list | dict | tuple) else value


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    return None if cell is None else {"text": cell.text, "value": cell.value, "best": cell.is_best}


def _caption(table: ReportTable, over: list[str]) -> str:
    legend = table.legend(over)
    constant = table.shown_axes.constant
    same = ", ".join(f"{axis}={value}" for axis, value in constant.items() if axis not in over)
    left_out = f" {table.left_out} more rows are left out." if table.left_out else ""
    return legend + (f" The same in all rows: {same}." if same else "") + left_out
