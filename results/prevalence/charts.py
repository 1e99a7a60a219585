"""What the tables of prevalence shift show, as lines over the ratio: means over tasks of means over jobs.

Where a study has several stages, the first speaks for all, except where stages are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seedfold.results.report.figures import Figure, LegendEntry, figure_id, to_readable
from seedfold.results.report.plots import MAX_SERIES, Line, draw_lines, draw_lines_file

if TYPE_CHECKING:
    import pandas as pd

_RATIO_LABEL = "imbalance ratio of the deployment"
_MEAN_NOTE = "Mean over tasks."
_RATIO_AXIS = "imbalance_ratio"
_METRICS = ("accuracy", "balanced_accuracy", "f1_rarest", "mcc", "auroc")


@dataclass(frozen=True)
class Chart:
    """One figure: its file's name, and in ``means`` one column per line over the ratios; some lines are dashed."""

    name: str
    title: str
    y: str
    caption: str
    means: pd.DataFrame
    dashed: frozenset[str] = frozenset()

    def lines(self) -> list[Line]:
        """Return the lines; a dashed one has the colour of the solid one at the same place."""
        solid, dashed = ([name for name in self.means if (name in self.dashed) == kind] for kind in (False, True))
        series = {name: number % MAX_SERIES for group in (solid, dashed) for number, name in enumerate(group)}
        x = self.means.index.to_numpy(dtype=float)
        return [
            Line(series[name], x, self.means[name].to_numpy(), dashed=name in self.dashed)
            for name in self.means.columns
        ]

    def to_figure(self) -> Figure:
        """Return it for a report."""
        found, labels = self.lines(), [str(name) for name in self.means.columns]
        svg = draw_lines(figure_id(self.name), found, _RATIO_LABEL, self.y)
        legend = [
            LegendEntry(line.series, label, self.name, None, dashed=line.dashed)
            for line, label in zip(found, labels, strict=True)
        ]
        return Figure(self.title, svg, self.caption, legend)

    def to_svg_file(self) -> str:
        """Return it as the text of a file."""
        return draw_lines_file(
            self.title, self.lines(), [str(name) for name in self.means.columns], _RATIO_LABEL, self.y
        )


def make_charts(tables: Mapping[str, pd.DataFrame]) -> Iterator[Chart]:
    """Yield what can be drawn of the tables that are there, by their names."""
    for name, makers in _CHART_MAKERS.items():
        table = tables.get(name)
        if table is not None and len(table):
            # A deployment without labels has no ratio to be drawn at.
            table = table[table["ratio"].notna()]
        if table is not None and len(table):
            for maker in makers:
                chart = maker(table)
                if chart is not None and chart.means.notna().to_numpy().any():
                    yield chart


def _rows_of_first_stage(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of models that were trained for no ratio, of the first stage that has any."""
    if _RATIO_AXIS in table and table[_RATIO_AXIS].isna().any():
        table = table[table[_RATIO_AXIS].isna()]
    return table[table["stage"] == table["stage"].iloc[0]] if "stage" in table else table


def _mean_lines(table: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """One column per combination of ``keys``, in the order of the rows, over the ratios."""
    labelled = table.assign(line=table[list(keys)].astype(str).agg(_line_label, axis=1), task=table["task"].astype(str))
    per_task = labelled.groupby(["line", "ratio", "task"], sort=False)[value].mean()
    wide = per_task.groupby(["ratio", "line"], sort=False).mean().unstack("line")
    return wide.sort_index()[list(dict.fromkeys(labelled["line"]))]


def _line_label(parts: pd.Series[str]) -> str:
    return ", ".join(to_readable(part) for part in dict.fromkeys(parts))


def _estimation_chart(table: pd.DataFrame) -> Chart:
    own = _rows_of_first_stage(table[table["metric"] == "absolute_error"])
    means = _mean_lines(own, ["method"])
    dashed = frozenset(name for name in map(str, means) if name.startswith(("KDE", "HDy")))
    caption = f"Sum over classes of the distance of estimated and true prevalence. {_MEAN_NOTE}"
    return Chart("estimation", "Error of estimated prevalences", "absolute error", caption, means, dashed)


def _calibration_chart_maker(split: str) -> Callable[[pd.DataFrame], Chart]:
    def make(table: pd.DataFrame) -> Chart:
        own = _rows_of_first_stage(table[table["split"] == split])
        means = _mean_lines(own, ["method", "priors"], "cwce")
        caption = f"Class-wise calibration error by calibration and its priors. {_MEAN_NOTE}"
        return Chart(f"calibration_{split}", f"Calibration error on {split}", "cwce", caption, means)

    return make


def _uncalibrated_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & table["metric"].isin(_METRICS)]


def _drift_chart(table: pd.DataFrame) -> Chart:
    own = _uncalibrated_rows(_rows_of_first_stage(table))
    parts = {split: _mean_lines(own[own["split"] == split], ["metric"]) for split in ("app_test", "dev_test")}
    caption = f"Metric in deployment less that of the balanced development test set, not re-calibrated. {_MEAN_NOTE}"
    return Chart("drift", "Drift of metrics", "app_test less dev_test", caption, parts["app_test"] - parts["dev_test"])


def _regret_chart(table: pd.DataFrame) -> Chart:
    own = _uncalibrated_rows(_rows_of_first_stage(table))
    rules = {rule: _mean_lines(own[own["rule"] == rule], ["metric"]) for rule in ("app_test", "dev_test", "argmax")}
    lost = {rule: rules["app_test"] - rules[rule] for rule in ("dev_test", "argmax")}
    means = _make_table({f"{metric}, {rule}": lost[rule][metric] for rule in lost for metric in lost[rule]})
    caption = (
        "Best value of any threshold in deployment less that by the best threshold of dev_test, or by argmax; "
        f"binary tasks, not re-calibrated. {_MEAN_NOTE}"
    )
    dashed = frozenset(name for name in map(str, means) if name.endswith("argmax"))
    return Chart("regret", "Regret of decision rules", "optimum less rule", caption, means, dashed)


def _make_table(columns: Mapping[str, pd.Series[float]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _deployment_rows(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & (table["split"] == "app_test") & table["metric"].isin(metrics)]


def _stages_chart(table: pd.DataFrame) -> Chart | None:
    if "stage" not in table:
        return None
    means = _mean_lines(_deployment_rows(table, ["balanced_accuracy"]), ["stage"])
    caption = f"Balanced accuracy in deployment by stage, not re-calibrated. {_MEAN_NOTE}"
    return Chart("stages", "What training anew is worth", "balanced accuracy", caption, means)


def _spread_chart(table: pd.DataFrame) -> Chart | None:
    """How far jobs of one task, stage and ratio differ: over seeds in one stage, over splits in another."""
    own = _deployment_rows(table, ["accuracy", "balanced_accuracy"])
    keys = [*(["stage"] if "stage" in own else []), "metric"]
    spread = own.groupby([*keys, "task", "ratio"], sort=False, dropna=False)["value"].std().dropna().reset_index()
    if spread.empty:
        return None
    caption = f"Standard deviation over jobs that differ in seed or split only, in deployment. {_MEAN_NOTE}"
    return Chart(
        "spread", "Uncertainty over seeds and splits", "standard deviation", caption, _mean_lines(spread, keys)
    )


_CHART_MAKERS: Mapping[str, Sequence[Callable[[pd.DataFrame], Chart | None]]] = {
    "quantification_error": (_estimation_chart,),
    "calibration": (_calibration_chart_maker("app_test"), _calibration_chart_maker("dev_test")),
    "decisions": (_regret_chart,),
    "performance": (_drift_chart, _stages_chart, _spread_chart),
}
