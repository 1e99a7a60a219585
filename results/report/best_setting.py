"""Which setting of a headline table is the best so far, which comes next, and how sure their order is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.results.comparison.paired_metrics import PairedMetric, compare_metric
from seedfold.results.comparison.pairs import Comparison, Pair, configured_folds
from seedfold.results.evaluation.axes import axis_names, last_component, short_names
from seedfold.results.evaluation.folds import FOLD_AXIS
from seedfold.results.evaluation.out_of_fold import VALIDATION
from seedfold.results.report.headline import Cell, ReportRow, ReportTable
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import RETURNED, Result
from seedfold.results.tables.best_values import lower_is_better

_MOST_BLOCKS = 6


def column_name(column: str) -> str:
    """The name of a column of a metric, which is the same in the table of jobs."""
    split, _, metric = column.partition(" ")
    return metric if split == RETURNED else f"{split}.{metric}"


def describe_best(table: ReportTable, results: Mapping[str, Result], over: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each problem of the table its best and its second best setting, with the difference of their pairs.

    The metric is the first of which it is known whether more is better, one of validation if there is any: who
    chooses by test samples expects too much of new ones. Pairs are the jobs of both settings with the same values of
    the axes ``over``.
    """
    known = [name for name in table.columns if lower_is_better(name.split()[-1]) is not None]
    column = next((name for name in known if name.startswith(f"{VALIDATION} ")), next(iter(known), None))
    if column is None:
        return []
    blocks: dict[str, list[ReportRow]] = {}
    for row in table.rows:
        own = {axis: value for axis, value in row.group.axes.items() if axis in table.problem}
        if _value(row, column) is not None:
            blocks.setdefault(canonical_json([row.group.stage, row.head, own]), []).append(row)
    several = [rows for rows in blocks.values() if len(rows) > 1]
    return [_describe(table, rows, column, results, over) for rows in several[:_MOST_BLOCKS]]


def _describe(
    table: ReportTable, rows: Sequence[ReportRow], column: str, results: Mapping[str, Result], over: Sequence[str]
) -> dict[str, Any]:
    lower = bool(lower_is_better(column.split()[-1]))
    first, second, *_ = sorted(rows, key=lambda row: _value(row, column) or 0.0, reverse=not lower)
    shared = {axis: first.group.axes[axis] for axis in table.problem if axis in first.group.axes}
    return {
        "metric": column_name(column),
        "settings": len(rows),
        "over": list(short_names(list(over)).values()),
        "within": {
            **({"stage": first.group.stage} if table.has_stages else {}),
            **_named(shared),
            **({"head": first.head} if table.has_heads else {}),
        },
        "best": _setting(table, first, column),
        "next": _setting(table, second, column),
        "difference": _difference(first, second, column, results, over),
    }


def _value(row: ReportRow, column: str) -> float | None:
    return row.cells[column].value if column in row.cells else None


def _setting(table: ReportTable, row: ReportRow, column: str) -> dict[str, Any]:
    cell: Cell = row.cells[column]
    axes = {axis: row.group.axes[axis] for axis in table.compared if axis in row.group.axes}
    return {"axes": _named(axes), "text": cell.text.partition(" (")[0], "jobs": row.jobs}


def _named(axes: Mapping[str, Any]) -> dict[str, Any]:
    short = short_names(list(axes))
    return {short[axis]: value for axis, value in axes.items()}


def _difference(
    first: ReportRow, second: ReportRow, column: str, results: Mapping[str, Result], over: Sequence[str]
) -> dict[str, Any] | None:
    """The best minus the next, over pairs of jobs; None if there is no pair, or nothing to repeat."""
    split, _, metric = column.partition(" ")
    heads = [each["head"] for each in results[first.group.runs[0].id].metrics if each["metric"] == metric]
    head = first.head if first.head in heads else RETURNED
    found = compare_metric(_pair(second, first, over), split, head, metric)
    return None if found.n == 0 else _to_json(found)


def _to_json(found: PairedMetric) -> dict[str, Any]:
    mean = {"mean": found.difference, "low": found.low, "high": found.high}
    return {**mean, "pairs": found.n, "p": found.p, "test": found.test}


def _pair(a: ReportRow, b: ReportRow, over: Sequence[str]) -> Comparison:
    """The pairs of two settings, which may differ in any number of axes."""
    of_a, of_b = _by_replicate(a, over), _by_replicate(b, over)
    pairs = [Pair(of_a[key], of_b[key], _replicate(of_a[key], over)) for key in of_a if key in of_b]
    folds = tuple(axis for axis in over if last_component(axis) == FOLD_AXIS)
    runs = [run for pair in pairs for run in pair.runs]
    expected = len(of_a.keys() | of_b.keys())
    return Comparison(
        stage=a.group.stage,
        over="setting",
        a=dict(a.group.axes),
        b=dict(b.group.axes),
        axes={},
        replicates=tuple(axis for axis in over if axis in axis_names(runs)),
        fold_axes=folds,
        pairs=tuple(pairs),
        expected=expected,
        unpaired=(),
        folds=_fold_count(runs, folds),
    )


def _by_replicate(row: ReportRow, over: Sequence[str]) -> dict[str, FinishedJob]:
    return {canonical_json(_replicate(run, over)): run for run in row.group.runs}


def _replicate(run: FinishedJob, over: Sequence[str]) -> dict[str, Any]:
    return {axis: run.axes[axis] for axis in over if axis in run.axes}


def _fold_count(runs: Sequence[FinishedJob], folds: Sequence[str]) -> int | None:
    if not folds:
        return None
    configured = {count for run in runs if (count := configured_folds(run)) is not None}
    there = {canonical_json(run.axes.get(folds[0])) for run in runs}
    return configured.pop() if len(configured) == 1 else len(there)
