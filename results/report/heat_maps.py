"""A metric over two axes at a time: a cell for each pair of values, darker where the metric is higher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.results.evaluation.axes import axis_names, format_value, last_component
from seedfold.results.evaluation.missing_values import is_defined
from seedfold.results.report import plots
from seedfold.results.report.figures import Figure, figure_id, headline_metric, metric_title, to_readable
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import Result
from seedfold.results.tables.number_text import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST_CELLS, _MOST_VALUES = 6, 16
_MOST_MAPS = 3


def heat_maps(runs: Sequence[FinishedJob], results: Mapping[str, Result], over: Sequence[str]) -> Iterator[Figure]:
    """Yield the headline metric of each stage over pairs of its axes, those with most cells first, at most three.

    A cell is the mean of all its jobs, over all other axes. Axes that are averaged over are left out.
    """
    for stage in dict.fromkeys(run.stage for run in runs):
        own = [run for run in runs if run.stage == stage]
        key = headline_metric([results[run.id] for run in own])
        if key is None:
            continue
        values = {axis: _values_of(own, axis) for axis in axis_names(own) if axis not in over}
        usable = {axis: found for axis, found in values.items() if 1 < len(found) <= _MOST_VALUES}
        pairs = sorted(combinations(usable, 2), key=lambda pair: -len(usable[pair[0]]) * len(usable[pair[1]]))
        for first, second in pairs[:_MOST_MAPS]:
            if len(usable[first]) * len(usable[second]) >= _FEWEST_CELLS:
                # The axis with more values has the longer side.
                x, y = (first, second) if len(usable[first]) >= len(usable[second]) else (second, first)
                yield _heat_map(own, results, key, (x, usable[x]), (y, usable[y]))


def _values_of(runs: Sequence[FinishedJob], axis: str) -> list[str]:
    """Return the values of an axis as texts: numbers in their order, others as they first occur."""
    values: list[Any] = list(
        {format_value(run.axes[axis]): run.axes[axis] for run in runs if axis in run.axes}.values()
    )
    if all(type(value) in (int, float) for value in values):
        values.sort()
    return [format_value(value) for value in values]


def _heat_map(
    runs: Sequence[FinishedJob],
    results: Mapping[str, Result],
    key: tuple[str, str, str],
    x: tuple[str, list[str]],
    y: tuple[str, list[str]],
) -> Figure:
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        value = next((each["value"] for each in results[run.id].metrics if _key(each) == key), None)
        if value is not None and is_defined(value) and x[0] in run.axes and y[0] in run.axes:
            found.setdefault((format_value(run.axes[x[0]]), format_value(run.axes[y[0]])), []).append(value)
    cells = np.array([[np.mean(found[one, two]) if (one, two) in found else np.nan for one in x[1]] for two in y[1]])
    counts = sorted({len(values) for values in found.values()})
    split, _, metric = key
    names = [to_readable(last_component(axis)) for axis, _ in (x, y)]
    title = f"{metric_title(split, metric)} over {names[0]} and {names[1]}"
    jobs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Figure(
        title,
        plots.draw_inline(figure_id(title, runs[0].stage), lambda axes: _draw(axes, cells, (x[1], y[1]), names)),
        f"Each cell is the mean of {jobs} job{'s' if counts[-1] > 1 else ''}, over all other axes.",
        detail=runs[0].stage,
    )


def _key(record: Any) -> tuple[str, str, str]:
    return record["split"], record["head"], record["metric"]


def _draw(axes: Axes, cells: Any, values: tuple[Sequence[str], Sequence[str]], names: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    low, high = np.nanmin(cells), np.nanmax(cells)
    for (row, column), value in np.ndenumerate(cells):
        if np.isnan(value):
            continue
        share = (value - low) / (high - low) if high > low else 0.0
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=plots.FIRST_COLOUR, alpha=0.08 + 0.6 * share)
        axes.add_patch(box)
        if cells.shape[1] <= 8:
            axes.text(column, row, format_number(float(value)), ha="center", va="center", fontsize=7.5)
    axes.set(xlim=(-0.5, cells.shape[1] - 0.5), ylim=(cells.shape[0] - 0.5, -0.5), xlabel=names[0], ylabel=names[1])
    slanted = max(map(len, values[0])) * len(values[0]) > 40
    axes.set_xticks(
        range(len(values[0])), values[0], rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_yticks(range(len(values[1])), values[1])
    axes.grid(visible=False)
