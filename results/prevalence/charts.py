"""Draws the tables of prevalence shift as lines over the ratio: means over tasks of means over jobs.

A task has no values at high ratios if one of its classes has too few samples. A line shows the mean of the tasks that
have all ratios, or it breaks where the set of tasks changes (see `common_set`). If a line has fewer tasks than the
figure, the legend says how many.

If a study has several stages, figures show the first one, except figures that compare stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from seedfold.results.evaluation.axes import CODE_AXES
from seedfold.results.evaluation.common_set import MeanLine, count_note, mean_line
from seedfold.results.report.figures import Figure, LegendEntry, figure_id, to_readable
from seedfold.results.report.plots import MAX_SERIES, Line, draw_lines, draw_lines_file

if TYPE_CHECKING:
    import pandas as pd

_RATIO_LABEL = "imbalance ratio of the deployment"
_MOST_BANDS = 4
"""With more lines than this, readers cannot distinguish the bands of a chart."""
_RATIO_AXIS = "imbalance_ratio"
_METRICS = ("accuracy", "balanced_accuracy", "f1_rarest", "mcc", "auroc")
_STAGE_METRICS = ("accuracy", "balanced_accuracy")
"""Training for the prevalences of a deployment is meant to raise the first there; the second counts classes alike."""


@dataclass(frozen=True)
class Chart:
    """One figure: its file's name, and ``values`` by ratio and task with one column per line; some lines are dashed."""

    name: str
    title: str
    y: str
    about: str
    values: pd.DataFrame
    dashed: frozenset[str] = frozenset()

    @cached_property
    def means(self) -> dict[str, MeanLine]:
        """Return the mean over tasks of each line that has any value."""
        tasks = set(self.values.index.get_level_values("task"))
        found = {}
        for name in self.values:
            points: dict[float, dict[str, float]] = {}
            for place, value in self.values[name].dropna().to_dict().items():
                ratio, task = cast("tuple[float, str]", place)
                points.setdefault(ratio, {})[task] = value
            if points:
                found[str(name)] = mean_line(points, tasks)
        return found

    @property
    def _has_bands(self) -> bool:
        return len(self.means) <= _MOST_BANDS

    @property
    def caption(self) -> str:
        """Say what is shown, over which tasks, and how far the tasks differ."""
        where = "bands" if self._has_bands else "in the legend, mean over ratios"
        spread = f"Mean over tasks; ± standard deviation over tasks: {where}."
        return f"{self.about} {spread}{count_note(self.means.values(), 'tasks')}"

    def lines(self) -> list[Line]:
        """Return the lines; a dashed line has the colour of the solid line at the same position."""
        solid, dashed = ([name for name in self.means if (name in self.dashed) == kind] for kind in (False, True))
        series = {name: number % MAX_SERIES for group in (solid, dashed) for number, name in enumerate(group)}
        return [self._line(name, mean, series[name]) for name, mean in self.means.items()]

    def _line(self, name: str, mean: MeanLine, series: int) -> Line:
        low, high = (mean.mean - mean.sd, mean.mean + mean.sd) if self._has_bands else (None, None)
        return Line(series, mean.x, mean.mean, low, high, dashed=name in self.dashed)

    def _note(self, mean: MeanLine) -> str:
        """Return what the legend adds to a line's name: its spread if no band shows it, and its number of tasks."""
        spread = "" if self._has_bands else f"± {np.nanmean(mean.sd):.2g}"
        count = f"({mean.count_text} tasks)" if mean.count_text else ""
        return f"{spread} {count}".strip()

    def to_figure(self) -> Figure:
        """Return the chart as a figure of a report."""
        found = self.lines()
        svg = draw_lines(figure_id(self.name), found, _RATIO_LABEL, self.y)
        legend = [
            LegendEntry(line.series, name, self.name, None, self._note(mean), dashed=line.dashed)
            for line, (name, mean) in zip(found, self.means.items(), strict=True)
        ]
        return Figure(self.title, svg, self.caption, legend, file=f"{self.name}.svg")

    def to_svg_file(self) -> str:
        """Return the chart as the text of an SVG file."""
        labels = [f"{name} {self._note(mean)}".rstrip() for name, mean in self.means.items()]
        return draw_lines_file(self.title, self.lines(), labels, _RATIO_LABEL, self.y)


def make_charts(tables: Mapping[str, pd.DataFrame]) -> Iterator[Chart]:
    """Yield the charts that can be drawn from ``tables``, which are given by name."""
    for name, makers in _CHART_MAKERS.items():
        table = tables.get(name)
        if table is not None and len(table):
            # A deployment without labels has no ratio, so that it has no place on the horizontal axis.
            table = table[table["ratio"].notna()]
        if table is not None and len(table):
            for maker in makers:
                chart = maker(table)
                if chart is not None and chart.means:
                    yield chart


def _rows_of_first_stage(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models that were not trained for a ratio, from the first stage that has such rows."""
    if _RATIO_AXIS in table and table[_RATIO_AXIS].isna().any():
        table = table[table[_RATIO_AXIS].isna()]
    return table[table["stage"] == table["stage"].iloc[0]] if "stage" in table else table


def _per_task(table: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Return a row per ratio and task, a column per combination of ``keys``; versions of the code stay apart."""
    keys = [*dict.fromkeys([*keys, *(axis for axis in CODE_AXES if axis in table)])]
    own = table.assign(line=table[keys].astype(str).agg(_line_label, axis=1), task=table["task"].astype(str))
    wide = own.groupby(["ratio", "task", "line"], sort=False)[value].mean().unstack("line")
    return wide.sort_index()[list(dict.fromkeys(own["line"]))]


def _line_label(parts: pd.Series[str]) -> str:
    return ", ".join(to_readable(part) for part in dict.fromkeys(parts))


def _estimation_chart(table: pd.DataFrame) -> Chart:
    own = _rows_of_first_stage(table[table["metric"] == "absolute_error"])
    values = _per_task(own, ["method"])
    dashed = frozenset(name for name in map(str, values) if name.startswith(("KDE", "HDy")))
    caption = "Sum over classes of the distance of estimated and true prevalence."
    return Chart("estimation", "Error of estimated prevalences", "absolute error", caption, values, dashed)


def _calibration_chart_maker(split: str) -> Callable[[pd.DataFrame], Chart]:
    def make(table: pd.DataFrame) -> Chart:
        own = _rows_of_first_stage(table[table["split"] == split])
        values = _per_task(own, ["method", "priors"], "cwce")
        caption = "Class-wise calibration error by calibration and its priors."
        return Chart(f"calibration_{split}", f"Calibration error on {split}", "cwce", caption, values)

    return make


def _uncalibrated_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & table["metric"].isin(_METRICS)]


def _drift_chart(table: pd.DataFrame) -> Chart:
    own = _uncalibrated_rows(_rows_of_first_stage(table))
    parts = {split: _per_task(own[own["split"] == split], ["metric"]) for split in ("app_test", "dev_test")}
    caption = "Metric in deployment less that of the balanced development test set, not re-calibrated."
    return Chart("drift", "Drift of metrics", "app_test less dev_test", caption, parts["app_test"] - parts["dev_test"])


def _regret_chart(table: pd.DataFrame) -> Chart:
    own = _uncalibrated_rows(_rows_of_first_stage(table))
    rules = {rule: _per_task(own[own["rule"] == rule], ["metric"]) for rule in ("app_test", "dev_test", "argmax")}
    lost = {rule: rules["app_test"] - rules[rule] for rule in ("dev_test", "argmax")}
    values = _make_table({f"{metric}, {rule}": lost[rule][metric] for rule in lost for metric in lost[rule]})
    caption = (
        "Best value of any threshold in deployment less that by the best threshold of dev_test, or by argmax; "
        "binary tasks, not re-calibrated."
    )
    dashed = frozenset(name for name in map(str, values) if name.endswith("argmax"))
    return Chart("regret", "Regret of decision rules", "optimum less rule", caption, values, dashed)


def _make_table(columns: Mapping[str, pd.Series[float]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _deployment_rows(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & (table["split"] == "app_test") & table["metric"].isin(metrics)]


def _stages_chart(table: pd.DataFrame) -> Chart | None:
    if "stage" not in table:
        return None
    values = _per_task(_deployment_rows(table, _STAGE_METRICS), ["metric", "stage"])
    dashed = frozenset(name for name in map(str, values) if not name.startswith(f"{_STAGE_METRICS[0]},"))
    caption = "Accuracy and, dashed, balanced accuracy in deployment by stage, not re-calibrated."
    return Chart("stages", "What training anew is worth", "score in deployment", caption, values, dashed)


def _spread_chart(table: pd.DataFrame) -> Chart | None:
    """Draw how far jobs of one task, stage and ratio differ: over seeds in one stage, over splits in another."""
    own = _deployment_rows(table, _STAGE_METRICS)
    keys = [*(column for column in ("stage", *CODE_AXES) if column in own), "metric"]
    spread = own.groupby([*keys, "task", "ratio"], sort=False, dropna=False)["value"].std().dropna().reset_index()
    if spread.empty:
        return None
    caption = "Standard deviation over jobs that differ in seed or split only, in deployment."
    return Chart("spread", "Uncertainty over seeds and splits", "standard deviation", caption, _per_task(spread, keys))


_CHART_MAKERS: Mapping[str, Sequence[Callable[[pd.DataFrame], Chart | None]]] = {
    "quantification_error": (_estimation_chart,),
    "calibration": (_calibration_chart_maker("app_test"), _calibration_chart_maker("dev_test")),
    "decisions": (_regret_chart,),
    "performance": (_drift_chart, _stages_chart, _spread_chart),
}
