"""The best setting of a table of means, such as `seedfold results` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedfold.results.comparison.best_setting import BestSetting, Setting, choose_column, find_best_settings
from seedfold.results.evaluation.axes import (
    CODE_AXES,
    Selection,
    axis_names,
    format_value,
    group_runs,
    select_runs,
)
from seedfold.results.evaluation.problem_axes import problem_axes
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.tables.metric_means import ROWS, axis_column
from seedfold.results.tables.number_text import mean_text

if TYPE_CHECKING:
    import pandas as pd


def best_of_means(
    frame: pd.DataFrame,
    runs: Sequence[FinishedJob],
    metric: str,
    where: Selection = None,
    compare: Sequence[str] | None = None,
) -> list[BestSetting]:
    """Return the best settings by a metric of a table of `metric_means` of these ``runs``, one for each problem.

    ``where`` are the conditions of the table; ``compare`` names the axes of the methods, as `problem_axes` takes them.
    Empty if the table has no means, or those of several problems together.
    """
    if "mean" not in frame.columns:
        return []
    table = frame[(frame["metric"] == metric) & frame["mean"].notna()]
    column = choose_column((split, metric) for split in table["split"].unique())
    if column is None:
        return []
    chosen, _ = select_runs(runs, where, ROWS)
    names = axis_names(chosen)
    axes = [name for name in names if axis_column(name) in frame.columns]
    over = [name for name in names if name not in axes]
    if problem_axes(over, compare):
        return []
    groups = {_key(group.stage, group.axes): group for group in group_runs(chosen, over)}
    rows = []
    for record in table[table["split"] == column[0]].to_dict("records"):
        group = groups[_key(record["stage"], {name: record[axis_column(name)] for name in axes})]
        jobs = f"{len(group.runs)} of {record['expected']}" if len(group.runs) < record["expected"] else None
        deviation = record["sd"] if record["sd"] == record["sd"] else None
        text = mean_text(record["mean"], deviation)
        rows.append(
            Setting(
                group.stage,
                record["head"],
                group.axes,
                record["mean"],
                text,
                jobs or str(len(group.runs)),
                group.runs,
            )
        )
    varying = [name for name in axes if len({format_value(row.axes.get(name)) for row in rows}) > 1]
    problem = [name for name in varying if name in {*problem_axes(varying, compare), *CODE_AXES}]
    return find_best_settings(rows, column, over, problem, [name for name in varying if name not in problem])


def _key(stage: str, axes: Mapping[str, Any]) -> tuple[str, ...]:
    """The same for a job and for its row, whose cells are empty or real numbers where the column needs it."""
    return (stage, *(f"{name}={_text(value)}" for name, value in sorted(axes.items()) if _is_there(value)))


def _is_there(value: Any) -> bool:
    # nan is not equal to itself.
    return value is not None and bool(value == value)


def _text(value: Any) -> str:
    return format_value(float(value)) if isinstance(value, int | float) else format_value(value)
