"""The report's figures of paired comparisons: how much the values of an axis differ in each pair of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seedfold.jobs.errors import UsageError
from seedfold.results.comparison.paired_metrics import CORRECTED_T, PairedMetric, compare_values
from seedfold.results.evaluation.axes import Group, axis_names, format_axes, format_value, last_component
from seedfold.results.evaluation.problem_axes import is_repetition, problem_axes
from seedfold.results.report import plots
from seedfold.results.report.figures import (
    Figure,
    LegendEntry,
    cut_note,
    figure_id,
    headline_metric,
    metric_title,
    to_readable,
)
from seedfold.results.report.plots import MAX_SERIES, Differences
from seedfold.results.report.shown_axes import choose_axes
from seedfold.results.store.finished_job import Addressed, FinishedJob
from seedfold.results.store.published import load_result
from seedfold.results.tables.number_text import UNDEFINED

_AXES = 4
_MOST_VALUES = 12
_LEAST_P = 0.001


def comparison_figures(
    runs: Sequence[FinishedJob], planned: Sequence[Addressed] | None = None, compare: Sequence[str] | None = None
) -> Iterator[Figure]:
    """Yield a figure for each axis of methods: the headline metric's difference for each two of its values.

    ``compare`` names the axes of methods, as `problem_axes` takes them. An axis has no figure if no two
    jobs differ in it alone, or if it has more than twelve values.
    """
    for stage in dict.fromkeys(run.stage for run in runs):
        own = [run for run in runs if run.stage == stage]
        places = None if planned is None else [place for place in planned if place.stage == stage]
        key = headline_metric([load_result(run.folder) for run in own])
        problem = problem_axes(axis_names(own), compare)
        methods = [axis for axis in axis_names(own) if axis not in problem and not is_repetition(axis)]
        able = [axis for axis in methods if 1 < _values(own, axis) <= _MOST_VALUES]
        for axis in able[:_AXES] if key else ():
            assert key is not None
            rows = _rows(own, axis, places, key)
            if rows:
                yield _figure(axis, key, rows)


def _values(runs: Sequence[FinishedJob], axis: str) -> int:
    return len({format_value(run.axes[axis]) for run in runs if axis in run.axes})


def _rows(
    runs: Sequence[FinishedJob], axis: str, planned: Sequence[Addressed] | None, key: tuple[str, str, str]
) -> list[PairedMetric]:
    split, head, metric = key
    try:
        found = compare_values(runs, axis, planned=planned, where=f"split='{split}' head='{head}' metric='{metric}'")
    except UsageError:
        # Jobs that differ in more than this axis cannot be compared; that is not an error of the study.
        return []
    return [row for row in found if row.n]


def _figure(axis: str, key: tuple[str, str, str], rows: Sequence[PairedMetric]) -> Figure:
    split, _, metric = key
    places = [Group(row.comparison.stage, row.comparison.axes, ()) for row in rows]
    axes = choose_axes(places, axis_names(places)).names
    title = f"Difference in {metric_title(split, metric)} by {to_readable(last_component(axis))}"
    shown = rows[:MAX_SERIES]
    drawn = [
        Differences(series, np.array(row.differences), row.difference or 0.0, row.low, row.high)
        for series, row in enumerate(shown)
    ]
    return Figure(
        title,
        plots.draw_differences(
            figure_id(title, shown[0].comparison.stage), drawn, f"second minus first, {to_readable(metric)}"
        ),
        _caption(shown) + cut_note(len(shown), len(rows), "comparisons"),
        [_entry(series, row, axes) for series, row in enumerate(shown)],
    )


def _caption(rows: Sequence[PairedMetric]) -> str:
    replicates = " and ".join(map(last_component, rows[0].comparison.replicates)) or "all other axes"
    of_folds = any(row.test == CORRECTED_T for row in rows)
    dots = "Dots: folds, each the mean of its seeds" if of_folds else "Dots: pairs of jobs"
    test = "corrected resampled t-test" if of_folds else "Wilcoxon's signed rank test"
    narrow = ", which takes folds as independent and is too narrow" if of_folds else ""
    return (
        f"Pairs of jobs with the same {replicates}. {dots}; bar: mean with its bootstrap interval of 95 %{narrow}. "
        f"p: {test}, corrected after Holm over the pairs of values."
    )


def _p_text(p: float | None) -> str:
    if p is None:
        return f"p {UNDEFINED}"
    return f"p {p:.3f}" if p >= _LEAST_P else f"p < {_LEAST_P}"


def _entry(series: int, row: PairedMetric, axes: Sequence[str]) -> LegendEntry:
    own = row.comparison
    place = format_axes({last_component(name): own.axes[name] for name in axes if name in own.axes})
    jobs = tuple(dict.fromkeys(run.id for pair in own.pairs for run in pair.runs))
    runs = {run.id: run for pair in own.pairs for run in pair.runs}
    group = Group(own.stage, {**own.axes, own.over: own.name}, tuple(runs[job] for job in jobs))
    value = f"{row.difference or 0.0:+.3f}, {_p_text(row.p_adjusted)} ({row.n} of {own.expected})"
    return LegendEntry(series, f"{own.name}{', ' if place else ''}{place}", "pairs", group, value)
