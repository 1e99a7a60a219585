"""What the tables of prevalence shift show, as lines over the ratio: means over tasks of means over jobs.

Where a study has several stages, the first speaks for all, except where stages are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seedfold.results.report.figures import Entry, Figure, figure_name, readable
from seedfold.results.report.plots import SERIES, Line, lines, lines_file

if TYPE_CHECKING:
    import pandas as pd

_RATIO = "imbalance ratio of the deployment"
_OVER = "Mean over tasks."
_RETRAINED = "imbalance_ratio"
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
        series = {name: number % SERIES for group in (solid, dashed) for number, name in enumerate(group)}
        x = self.means.index.to_numpy(dtype=float)
        return [
            Line(series[name], x, self.means[name].to_numpy(), dashed=name in self.dashed)
            for name in self.means.columns
        ]

    def figure(self) -> Figure:
        """Return it for a report."""
        found, labels = self.lines(), [str(name) for name in self.means.columns]
        svg = lines(figure_name(self.name), found, _RATIO, self.y)
        legend = [
            Entry(line.series, label, self.name, None, dashed=line.dashed)
            for line, label in zip(found, labels, strict=True)
        ]
        return Figure(self.title, svg, self.caption, legend)

    def svg(self) -> str:
        """Return it as the text of a file."""
        return lines_file(self.title, self.lines(), [str(name) for name in self.means.columns], _RATIO, self.y)


def charts(tables: Mapping[str, pd.DataFrame]) -> Iterator[Chart]:
    """Yield what can be drawn of the tables that are there, by their names."""
    for name, makers in _MAKERS.items():
        table = tables.get(name)
        if table is not None and len(table):
            # A deployment without labels has no ratio to be drawn at.
            table = table[table["ratio"].notna()]
        if table is not None and len(table):
            for maker in makers:
                chart = maker(table)
                if chart is not None and chart.means.notna().to_numpy().any():
                    yield chart


def _first_stage(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of models that were trained for no ratio, of the first stage that has any."""
    if _RETRAINED in table and table[_RETRAINED].isna().any():
        table = table[table[_RETRAINED].isna()]
    return table[table["stage"] == table["stage"].iloc[0]] if "stage" in table else table


def _means(table: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """One column per combination of ``keys``, in the order of the rows, over the ratios."""
    own = table.assign(line=table[list(keys)].astype(str).agg(_label, axis=1), task=table["task"].astype(str))
    per_task = own.groupby(["line", "ratio", "task"], sort=False)[value].mean()
    wide = per_task.groupby(["ratio", "line"], sort=False).mean().unstack("line")
    return wide.sort_index()[list(dict.fromkeys(own["line"]))]


def _label(parts: pd.Series[str]) -> str:
    return ", ".join(readable(part) for part in dict.fromkeys(parts))


def _estimation(table: pd.DataFrame) -> Chart:
    own = _first_stage(table[table["metric"] == "absolute_error"])
    means = _means(own, ["method"])
    dashed = frozenset(name for name in map(str, means) if name.startswith(("KDE", "HDy")))
    caption = f"Sum over classes of the distance of estimated and true prevalence. {_OVER}"
    return Chart("estimation", "Error of estimated prevalences", "absolute error", caption, means, dashed)


def _calibration(split: str) -> Callable[[pd.DataFrame], Chart]:
    def make(table: pd.DataFrame) -> Chart:
        own = _first_stage(table[table["split"] == split])
        means = _means(own, ["method", "priors"], "cwce")
        caption = f"Class-wise calibration error by calibration and its priors. {_OVER}"
        return Chart(f"calibration_{split}", f"Calibration error on {split}", "cwce", caption, means)

    return make


def _uncalibrated(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & table["metric"].isin(_METRICS)]


def _drift(table: pd.DataFrame) -> Chart:
    own = _uncalibrated(_first_stage(table))
    parts = {split: _means(own[own["split"] == split], ["metric"]) for split in ("app_test", "dev_test")}
    caption = f"Metric in deployment less that of the balanced development test set, not re-calibrated. {_OVER}"
    return Chart("drift", "Drift of metrics", "app_test less dev_test", caption, parts["app_test"] - parts["dev_test"])


def _regret(table: pd.DataFrame) -> Chart:
    own = _uncalibrated(_first_stage(table))
    rules = {rule: _means(own[own["rule"] == rule], ["metric"]) for rule in ("app_test", "dev_test", "argmax")}
    lost = {rule: rules["app_test"] - rules[rule] for rule in ("dev_test", "argmax")}
    means = _side_by_side({f"{metric}, {rule}": lost[rule][metric] for rule in lost for metric in lost[rule]})
    caption = (
        "Best value of any threshold in deployment less that by the best threshold of dev_test, or by argmax; "
        f"binary tasks, not re-calibrated. {_OVER}"
    )
    dashed = frozenset(name for name in map(str, means) if name.endswith("argmax"))
    return Chart("regret", "Regret of decision rules", "optimum less rule", caption, means, dashed)


def _side_by_side(columns: Mapping[str, pd.Series[float]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _in_deployment(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    return table[(table["calibration"] == "none") & (table["split"] == "app_test") & table["metric"].isin(metrics)]


def _stages(table: pd.DataFrame) -> Chart | None:
    if "stage" not in table:
        return None
    means = _means(_in_deployment(table, ["balanced_accuracy"]), ["stage"])
    caption = f"Balanced accuracy in deployment by stage, not re-calibrated. {_OVER}"
    return Chart("stages", "What training anew is worth", "balanced accuracy", caption, means)


def _spread(table: pd.DataFrame) -> Chart | None:
    """How far jobs of one task, stage and ratio differ: over seeds in one stage, over splits in another."""
    own = _in_deployment(table, ["accuracy", "balanced_accuracy"])
    keys = [*(["stage"] if "stage" in own else []), "metric"]
    spread = own.groupby([*keys, "task", "ratio"], sort=False, dropna=False)["value"].std().dropna().reset_index()
    if spread.empty:
        return None
    caption = f"Standard deviation over jobs that differ in seed or split only, in deployment. {_OVER}"
    return Chart("spread", "Uncertainty over seeds and splits", "standard deviation", caption, _means(spread, keys))


_MAKERS: Mapping[str, Sequence[Callable[[pd.DataFrame], Chart | None]]] = {
    "quantification_error": (_estimation,),
    "calibration": (_calibration("app_test"), _calibration("dev_test")),
    "decisions": (_regret,),
    "performance": (_drift, _stages, _spread),
}
