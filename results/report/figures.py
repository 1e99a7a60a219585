"""The report's figures: a metric along a numeric axis, learning curves, pooled ROC and precision-recall curves.

A figure shows at most as many series as its palette has colours, and says how many it left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from seedfold.results.evaluation.axes import (
    Group,
    address_key,
    axis_names,
    format_axes,
    format_value,
    group_runs,
    last_component,
    short_names,
    without_axes,
)
from seedfold.results.evaluation.common_set import MeanLine, count_note, mean_line
from seedfold.results.evaluation.learning_curves import learning_curve, read_histories
from seedfold.results.evaluation.missing_values import is_defined
from seedfold.results.evaluation.out_of_fold import VALIDATION
from seedfold.results.report import plots
from seedfold.results.report.headline import group_anchor, shown_metrics
from seedfold.results.report.plots import MAX_SERIES, Line
from seedfold.results.report.pooled_curves import PooledCurves
from seedfold.results.report.shown_axes import choose_axes
from seedfold.results.store.finished_job import Addressed, FinishedJob
from seedfold.results.store.published import HISTORY_FILE, RETURNED, MetricRecord, Result
from seedfold.results.tables.best_values import lower_is_better
from seedfold.results.tables.number_text import format_number

if TYPE_CHECKING:
    import pandas as pd

_MAX_AXES = 4
_SPLITS = ("train", "val", "test")
_USUAL_STAGES = ("train", "sweep")
_WIDE_PX = 560
_PREDICT_AXES = "predict."
_PREFERRED_METRICS = ("balanced_accuracy", "rmse", "accuracy")


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One line of a legend: colour, text, the group of its jobs, and the number of the series if it has one.

    A series without a group is made of all jobs.
    """

    series: int
    label: str
    link_kind: str
    group: Group | None
    value: str = ""
    dashed: bool = False

    @property
    def anchor(self) -> str:
        """Return the anchor of the list of the series' jobs; empty without a group."""
        return group_anchor(self.link_kind, self.group) if self.group else ""


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG with its caption and legend.

    ``detail`` is added to the title if another figure has the same. ``width``, in CSS pixels, is that of a figure that
    was drawn for a page of its own; the figures of the report fit into any column. ``file`` is the name of a file that
    a job left if it shows the same.
    """

    title: str
    svg: str
    caption: str
    legend: list[LegendEntry] = field(default_factory=list)
    detail: str = ""
    width: int | None = None
    file: str = ""

    @property
    def is_wide(self) -> bool:
        """Whether the figure takes a row of the page for itself."""
        return self.width is not None and self.width > _WIDE_PX


def make_labels(groups: Sequence[Group], left_out: Sequence[str] = ()) -> list[str]:
    """Return a short text for each group: the axes that tell them apart, and the stage if that differs."""
    names = [name for name in axis_names(groups) if name not in left_out]
    differing = choose_axes(groups, names).names
    stages = len({group.stage for group in groups}) > 1
    return [_make_label(group, differing, short_names(names), stages) for group in groups]


def _make_label(group: Group, names: Sequence[str], short: Mapping[str, str], with_stage: bool) -> str:
    parts = [group.stage] if with_stage else []
    parts += [f"{short[name]}={format_value(group.axes[name])}" for name in names if name in group.axes]
    return ", ".join(parts) or group.stage


def cut_note(shown: int, total: int, what: str = "groups") -> str:
    """Return the sentence that says what was left out; empty if nothing was."""
    return f" Shown are the first {shown} of {total} {what}." if total > shown else ""


def headline_metric(results: Sequence[Result]) -> tuple[str, str, str] | None:
    """Return (split, head, metric) to plot: the test split and balanced accuracy, if they exist.

    Of jobs that have none of the usual metrics, it is the first that they returned or logged.
    """
    found = {(each["split"], each["head"], each["metric"]): None for result in results for each in result.metrics}
    for metric in _PREFERRED_METRICS:
        for wanted in ("test", "val", None):
            for key in found:
                if key[2] == metric and wanted in (key[0], None):
                    return key
    own = [each for result in results for each in shown_metrics(result) if each["value"] is not None]
    first = min(own, key=_rank_own_metric, default=None)
    return None if first is None else (first["split"], first["head"], first["metric"])


def _rank_own_metric(metric: MetricRecord) -> tuple[bool, bool, int]:
    """Rank a metric of a program for a figure: what is not of training, then scores, then test before validation."""
    names = [metric["split"], *re.split(r"[/_]", metric["metric"])]
    wanted = next((place for place, name in enumerate(("test", "val")) if name in names), 2)
    return "train" in names, lower_is_better(metric["metric"]) is not False, wanted


def metric_title(split: str, metric: str) -> str:
    """Return a metric and its split as text; what a program returned or logged has a name of its own choice."""
    return to_readable(metric) + ("" if split == RETURNED else f" ({split})")


def axis_figures(
    runs: Sequence[FinishedJob], results: Mapping[str, Result], over: Sequence[str], planned: Sequence[Addressed] = ()
) -> Iterator[Figure]:
    """Yield the headline metric against each numeric axis that is not averaged over, one series per other group.

    All points of a series are means over the same repetitions; otherwise the series breaks. ``planned`` are the places
    of the study, which say how many repetitions there should be.
    """
    for stage in dict.fromkeys(run.stage for run in runs):
        stage_runs = [run for run in runs if run.stage == stage]
        key = headline_metric([results[run.id] for run in stage_runs])
        numeric = [axis for axis in axis_names(stage_runs) if axis not in over and is_numeric(stage_runs, axis)]
        if key is None:
            continue
        for axis in numeric[:_MAX_AXES]:
            yield _axis_figure(
                stage_runs, results, over, axis, key, [place for place in planned if place.stage == stage]
            )


def is_numeric(runs: Sequence[FinishedJob], axis: str) -> bool:
    """Return whether an axis has several values and all of them are numbers."""
    values = [run.axes[axis] for run in runs if axis in run.axes]
    return len(set(map(format_value, values))) > 1 and all(type(value) in (int, float) for value in values)


def _axis_figure(
    runs: Sequence[FinishedJob],
    results: Mapping[str, Result],
    over: Sequence[str],
    axis: str,
    key: tuple[str, str, str],
    planned: Sequence[Addressed],
) -> Figure:
    groups = group_runs([run for run in runs if axis in run.axes], [axis, *over])
    shown = groups[:MAX_SERIES]
    expected: dict[str, set[str]] = {}
    for place in planned:
        group_key = address_key(place.stage, without_axes(place.axes, [axis, *over]))
        expected.setdefault(group_key, set()).add(_repetition(place, over))
    means = [_metric_line(group, results, axis, key, over, expected.get(group.address_text, set())) for group in shown]
    found = [
        Line(series, mean.x, mean.mean, mean.mean - mean.sd, mean.mean + mean.sd) for series, mean in enumerate(means)
    ]
    split, _, metric = key
    title = f"{metric_title(split, metric)} against {to_readable(last_component(axis))}"
    return Figure(
        title,
        plots.draw_error_bars(
            figure_id(title, shown[0].stage), found, to_readable(last_component(axis)), to_readable(metric)
        ),
        f"Mean ± standard deviation over {', '.join(over) or 'nothing else'}.{count_note(means, 'repetitions')}"
        f"{cut_note(len(shown), len(groups))}",
        make_legend("along", shown, _axis_labels(shown), [mean.count_text for mean in means]),
        detail=shown[0].stage,
    )


def _axis_labels(groups: Sequence[Group]) -> list[str]:
    """Return the labels of series; the name of a stage that every study has would say nothing about the only series."""
    return [f"all {len(groups[0].runs)} jobs"] if len(groups) == 1 else make_labels(groups)


def _metric_line(
    group: Group,
    results: Mapping[str, Result],
    axis: str,
    key: tuple[str, str, str],
    over: Sequence[str],
    expected: set[str],
) -> MeanLine:
    values: dict[float, dict[str, float]] = {}
    for run in group.runs:
        for each in results[run.id].metrics:
            value = each["value"]
            if (each["split"], each["head"], each["metric"]) == key and value is not None and is_defined(value):
                values.setdefault(float(run.axes[axis]), {})[_repetition(run, over)] = value
    return mean_line(values, expected)


def _repetition(place: Addressed, over: Sequence[str]) -> str:
    return format_axes({axis: place.axes[axis] for axis in over if axis in place.axes})


def to_readable(metric: str) -> str:
    """Return the name of a metric or column as people write it."""
    return metric.replace("_", " ").replace("/", " ")


def figure_id(*parts: str) -> str:
    """Return a short text that is unique to a figure, for the ids inside its SVG."""
    return "f" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def make_legend(
    kind: str, groups: Sequence[Group], texts: Sequence[str], values: Sequence[str] = ()
) -> list[LegendEntry]:
    """Return the legend of a figure whose series are groups, in order."""
    value_texts = values or [""] * len(groups)
    return [
        LegendEntry(series, text, kind, group, value)
        for series, (group, text, value) in enumerate(zip(groups, texts, value_texts, strict=True))
    ]


def learning_figures(runs: Sequence[FinishedJob], over: Sequence[str]) -> Iterator[Figure]:
    """Yield, per stage, the loss and one validation metric by epoch: median and spread over the runs of a group.

    Runs that share a training count once. If there are more groups than a figure can show, all runs of the stage are
    one group.
    """
    for stage in dict.fromkeys(run.stage for run in runs):
        stage_runs = _one_of_each_training([run for run in runs if run.stage == stage])
        if not stage_runs:
            continue
        groups = group_runs(stage_runs, over)
        if len(groups) > MAX_SERIES:
            groups = [Group(stage, {}, tuple(stage_runs))]
        note = f" All {len(stage_runs)} trainings of stage {stage} together." if not groups[0].axes else ""
        for shown in filter(None, _learning_columns(_curve_names(read_histories(stage_runs[:1])))):
            yield _learning_figure(stage, groups, shown, note)


def _one_of_each_training(runs: Sequence[FinishedJob]) -> list[FinishedJob]:
    """Return the runs with a history, and of those that only predict in different ways the first, without that axis."""
    found: dict[str, FinishedJob] = {}
    for run in runs:
        if (run.folder / HISTORY_FILE).exists():
            axes = {axis: value for axis, value in run.axes.items() if not axis.startswith(_PREDICT_AXES)}
            found.setdefault(address_key(run.stage, axes), replace(run, axes=axes))
    return list(found.values())


def _curve_names(history: pd.DataFrame) -> list[str]:
    """Return the columns with several values: one that a program logged once, at its end, is no curve."""
    return [str(name) for name in history if history[name].count() > 1 or len(history) == 1]


def _learning_columns(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns of losses, and those of one metric: of training samples where these are scored, and val."""
    columns = [name for name in columns if name not in ("job", "epoch", "lr")]
    losses = [name for name in columns if name.endswith("loss")]
    if "train/eval_loss" in losses:
        losses.remove("train/loss")
    # Of other losses, such as the parts of a sum, nobody would know which line is which.
    losses = [name for name in losses if name.startswith(_SPLITS)] or losses[:1]
    others = [name for name in columns if name not in losses and not name.startswith("train")]
    others = [name for name in others if name.startswith("val")][:1] or others[:1]
    trained = [name.replace("val/", "train/", 1) for name in others]
    return losses, [*(name for name in trained if name in columns), *others]


def _learning_figure(stage: str, groups: Sequence[Group], columns: Sequence[str], note: str) -> Figure:
    several = len(columns) > 1
    curves = [
        (series, column.startswith("train") and several, learning_curve(group, column))
        for series, group in enumerate(groups)
        for column in columns
    ]
    found = [_learning_line(series, dashed, curve) for series, dashed, curve in curves if len(curve)]
    label = "loss" if columns[-1].endswith("loss") else to_readable(columns[-1].rpartition("/")[2])
    if not several:
        label = to_readable(columns[0])
    solid = ", ".join(to_readable(column) for column in columns if not column.startswith("train"))
    solid = "validation" if columns[-1].startswith("val") else solid
    dash_note = f" Dashed: training, solid: {solid}." if several else ""
    title = f"{label} by epoch" + (f" ({stage})" if stage not in _USUAL_STAGES else "")
    return Figure(
        title,
        plots.draw_lines(figure_id(title, stage), found, "epoch", label),
        f"Median of the runs that reached the epoch; band from their 10 % to their 90 % quantile.{dash_note}{note}",
        make_legend("group", groups, make_labels(groups)) if groups[0].axes else [],
    )


def _learning_line(series: int, dashed: bool, curve: pd.DataFrame) -> Line:
    epoch, median, low, high = (curve[name].to_numpy() for name in ("epoch", "median", "low", "high"))
    return Line(series, epoch, median, low, high, dashed)


def curve_figures(pooled_curves: Sequence[PooledCurves], total: int) -> Iterator[Figure]:
    """Yield ROC and precision-recall curves per head, of the first groups of ``total``."""
    for head in dict.fromkeys(each.head for each in pooled_curves):
        for curve, title, x, y in _CURVE_KINDS:
            own = [each for each in pooled_curves if each.head == head and curve in each.curves]
            if own:
                yield _curve_figure(own[:MAX_SERIES], curve, title, (x, y), total)


_CURVE_KINDS = (
    ("roc", "Receiver operating characteristic", "false positive rate", "true positive rate"),
    ("pr", "Precision and recall", "recall", "precision"),
)


def _curve_figure(
    pooled_curves: Sequence[PooledCurves], curve: str, title: str, axes: tuple[str, str], total: int
) -> Figure:
    lines = [each.mean_line(series, curve) for series, each in enumerate(pooled_curves)]
    first = pooled_curves[0].curves[curve]
    split = pooled_curves[0].split
    rows = "Validation rows" if split == VALIDATION else f"Rows of split {split}"
    notes = f"{rows} of all folds pooled: samples of one fold are also ranked against those of others. Numbers are "
    notes += "AUROC." if curve == "roc" else "average precision."
    notes += " Mean over classes, each against the rest." if first[0]["class"] == "macro" else ""
    counts = sorted({len(each.curves[curve]) for each in pooled_curves})
    if counts[-1] > 1:
        notes += f" Mean of {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} repetitions."
    groups = [each.group for each in pooled_curves]
    return Figure(
        title + (f", head {pooled_curves[0].head}" if pooled_curves[0].head != "main" else ""),
        plots.draw_curves(figure_id(title, pooled_curves[0].head), lines, *axes, diagonal=curve == "roc"),
        notes + cut_note(len(groups), total),
        make_legend(
            "group", groups, make_labels(groups), [format_number(each.mean_area(curve)) for each in pooled_curves]
        ),
    )
