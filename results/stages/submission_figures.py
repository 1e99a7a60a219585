"""Figures of the folds of a study: their learning curves, learning rates and test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.results.stages.figure_files import COLOURS, INK_COLOUR, figure_style, new_figure, save_figure
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import HISTORY_FILE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_figures(folder: Path, runs: Sequence[FinishedJob], predicted: pd.Series[float]) -> None:
    """Write ``learning.svg``, ``schedule.svg`` and ``test_predictions.svg``; each run has another fold."""
    import pandas as pd

    histories = [pd.read_csv(run.folder / HISTORY_FILE) for run in runs]
    configs = [dict(run.config or {}) for run in runs]
    with figure_style():
        save_figure(_draw_learning(histories, configs), folder / "learning.svg")
        save_figure(draw_schedule(histories), folder / "schedule.svg")
        save_figure(draw_histogram(predicted), folder / "test_predictions.svg")


def draw_predictions(folder: Path, predicted: pd.Series[float]) -> None:
    """Write only ``test_predictions.svg``."""
    with figure_style():
        save_figure(draw_histogram(predicted), folder / "test_predictions.svg")


def _draw_learning(histories: Sequence[pd.DataFrame], configs: Sequence[Any]) -> Figure:
    """Draw a column per fold: losses above, the monitored metric below, with the best epoch marked in both."""
    count = len(histories)
    figure = new_figure(max(4.0, 2.3 * count), 4.2)
    grid: Any = figure.subplots(2, count, sharex="col", sharey="row", squeeze=False)
    for place, (history, config) in enumerate(zip(histories, configs, strict=True)):
        monitor, best = _best_epoch(history, config)
        _plot_columns(grid[0, place], history, [_training_loss(history), "val/loss"], best)
        _plot_columns(grid[1, place], history, _metric_columns(history, monitor), best)
        grid[0, place].set_title(f"fold {config['fold']}, best epoch {best + 1}", fontsize=9)
        grid[1, place].set_xlabel("epoch")
        use_integer_ticks(grid[1, place])
    grid[0, 0].set_ylabel("loss")
    grid[1, 0].set_ylabel(
        _metric_columns(histories[0], _best_epoch(histories[0], configs[0])[0])[-1].removeprefix("val/")
    )
    for row in (0, 1):
        grid[row, -1].legend(frameon=False, fontsize=8)
    return figure


def _best_epoch(history: pd.DataFrame, config: Any) -> tuple[str, int]:
    """Return the monitored column, and the epoch (from 0) that is best by it."""
    trainer = config["trainer"]
    values = history[trainer["monitor"]]
    return trainer["monitor"], int(values.idxmax() if trainer["mode"] == "max" else values.idxmin())


def _training_loss(history: pd.DataFrame) -> str:
    """Return the column of the loss of training samples: as validation is computed, if it was computed so."""
    return "train/eval_loss" if "train/eval_loss" in history else "train/loss"


def _metric_columns(history: pd.DataFrame, monitor: str) -> list[str]:
    """Return the columns of the monitored metric, or of another one if it is the loss, which is drawn already."""
    if monitor.endswith("/loss"):
        columns = map(str, history)
        monitor = next((name for name in columns if name.startswith("val/") and name != monitor), monitor)
    other = monitor.replace("val/", "train/", 1)
    return [name for name in (other, monitor) if name in history]


def _plot_columns(axes: Axes, history: pd.DataFrame, columns: Sequence[str], best: int) -> None:
    epochs = history["epoch"] + 1
    for column in columns:
        training = column.startswith("train/")
        colour = COLOURS[0] if training else COLOURS[1]
        axes.plot(epochs, history[column], color=colour, label="training" if training else "validation")
        if not training:
            axes.plot(epochs[best], history[column][best], "o", color=colour, markersize=5)
    axes.axvline(best + 1, color=INK_COLOUR, linewidth=0.6, linestyle=":")


def draw_schedule(histories: Sequence[pd.DataFrame]) -> Figure:
    """Draw the learning rates, one line for each different schedule."""
    figure = new_figure(4.2, 2.8)
    axes = figure.subplots()
    for number, history in enumerate(_distinct_schedules(histories)):
        axes.plot(history["epoch"] + 1, history["lr"], marker="o", markersize=3, color=COLOURS[number % 8])
    axes.set(xlabel="epoch", ylabel="learning rate")
    use_integer_ticks(axes)
    return figure


def use_integer_ticks(axes: Axes) -> None:
    """Show only whole numbers on the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _distinct_schedules(histories: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return one history for each different schedule of the folds."""
    found = {tuple(history["lr"]): history for history in histories}
    return list(found.values())


def draw_histogram(predicted: pd.Series[float]) -> Figure:
    """Draw how often each probability is predicted."""
    figure = new_figure(4.2, 2.8)
    axes = figure.subplots()
    axes.hist(predicted, bins=50, range=(0, 1), color=COLOURS[0])
    axes.set(xlabel="predicted probability, mean over folds", ylabel="test samples")
    return figure
