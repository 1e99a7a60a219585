"""Figures of an ensemble of heads: classes, learning curves of each head, learning rates, scores by number of
members, and the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.results.ensembles.head_members import FOLD_PREFIX, VALIDATION_SPLIT, HeadMember
from seedfold.results.stages.figure_files import COLOURS, figure_style, new_figure, save_figure
from seedfold.results.stages.submission_figures import draw_histogram, draw_schedule, use_integer_ticks
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import HISTORY_FILE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Histories = Sequence["tuple[FinishedJob, pd.DataFrame]"]
_GRID_COLUMNS = 3
_CLASS_LABEL = "class {}"


def draw_figures(
    folder: Path, members: Sequence[HeadMember], table: pd.DataFrame, metric: str, predicted: pd.Series[float] | None
) -> None:
    """Write ``classes.svg``, ``ensemble.svg`` (of ``table`` by ``metric``), and if there is something to draw
    ``learning.svg``, ``schedule.svg``, and ``test_predictions.svg`` of what is ``predicted``.
    """
    import pandas as pd

    runs = {member.run.id: member.run for member in members}
    histories = [
        (run, pd.read_csv(run.folder / HISTORY_FILE)) for run in runs.values() if (run.folder / HISTORY_FILE).exists()
    ]
    with figure_style():
        save_figure(_draw_class_counts(members), folder / "classes.svg")
        save_figure(_draw_scores_by_size(table, metric), folder / "ensemble.svg")
        heads = _monitored_columns(histories)
        if heads:
            save_figure(_draw_learning(histories, heads), folder / "learning.svg")
        if histories:
            save_figure(draw_schedule([history for _, history in histories]), folder / "schedule.svg")
        if predicted is not None:
            save_figure(draw_histogram(predicted), folder / "test_predictions.svg")


def _draw_class_counts(members: Sequence[HeadMember]) -> Figure:
    """Draw on how many samples of each class every fold validates."""
    import numpy as np

    targets = {each.fold.removeprefix(FOLD_PREFIX): each.rows_by_split[VALIDATION_SPLIT].targets for each in members}
    classes = max(int(each.max()) for each in targets.values()) + 1
    counts = np.array([np.bincount(each.astype(int), minlength=classes) for each in targets.values()])
    figure = new_figure(4.2, 2.8)
    axes = figure.subplots()
    width = 0.8 / classes
    for number in range(classes):
        positions = np.arange(len(counts)) + (number - (classes - 1) / 2) * width
        bars = axes.bar(
            positions, counts[:, number], width, color=COLOURS[number % 8], label=_CLASS_LABEL.format(number)
        )
        axes.bar_label(bars, fontsize=8)
    axes.set_xticks(range(len(counts)), list(targets))
    axes.set(xlabel="fold", ylabel="validation samples", ylim=(0, counts.max() * 1.25))
    axes.legend(frameon=False, fontsize=8, ncols=classes, loc="upper center")
    return figure


def _monitored_columns(histories: _Histories) -> dict[str, str]:
    """Return the column that decides each head's best epoch; empty if heads have no best epochs of their own."""
    metrics = {(run.config or {}).get("trainer", {}).get("head_monitor") for run, _ in histories}
    columns = dict.fromkeys(str(column) for _, history in histories for column in history)
    parts = {column: column.split("/") for column in columns}
    return {found[1]: column for column, found in parts.items() if len(found) == 3 and found[2] in metrics}


def _draw_learning(histories: _Histories, heads: Mapping[str, str]) -> Figure:
    """Draw a panel per head: monitored metric, a line per fit in the colour of its fold, a dot at the best epoch."""
    rows = -(-len(heads) // _GRID_COLUMNS)
    figure = new_figure(2.6 * min(_GRID_COLUMNS, len(heads)), 2.0 * rows + 0.4)
    grid: Any = figure.subplots(rows, min(_GRID_COLUMNS, len(heads)), sharex=True, sharey=True, squeeze=False)
    folds = {fold: number for number, fold in enumerate(dict.fromkeys(run.axes.get("fold") for run, _ in histories))}
    for axes, (head, column) in zip(grid.flat, heads.items(), strict=False):
        for run, history in histories:
            if column in history:
                fold = run.axes.get("fold")
                _plot_history(axes, history, column, COLOURS[folds[fold] % 8], f"fold {fold}")
        axes.set_title(head, fontsize=9, loc="left")
        use_integer_ticks(axes)
    for axes in grid.flat[len(heads) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(f"validation {next(iter(heads.values())).rpartition('/')[2]}; dots: best epochs", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=8, frameon=False, fontsize=8)
    return figure


def _plot_history(axes: Axes, history: pd.DataFrame, column: str, colour: str, label: str) -> None:
    values, epochs = history[column], history["epoch"] + 1
    best = int((-values if column.endswith("/loss") else values).to_numpy().argmax())
    axes.plot(epochs, values, color=colour, linewidth=0.9, alpha=0.8, label=label)
    axes.plot(epochs[best], values[best], "o", color=colour, markersize=4)


def _draw_scores_by_size(table: pd.DataFrame, metric: str) -> Figure:
    """Draw the metric over the number of members, one line per curve; the number chosen on other folds is dashed.

    On validation rows it is the mean of the folds, by which the number of members is chosen.
    """
    figure = new_figure(5.5, 4.3)
    axes = figure.subplots()
    for (split, chosen_on), curve in table.groupby(["split", "chosen_on"], sort=False):
        of_folds = split == VALIDATION_SPLIT
        label = f"{split}{' (mean of folds)' if of_folds else ''}, members chosen on {chosen_on}"
        values = curve["mean_of_folds" if of_folds else metric]
        if curve["n"].isna().all():
            axes.axhline(values.iloc[0], linestyle="--", color="0.3", label=label)
        else:
            axes.plot(curve["n"].astype(int), values, marker="o", markersize=3, label=label)
    axes.set(xlabel="members of each fold", ylabel=metric)
    use_integer_ticks(axes)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return figure
