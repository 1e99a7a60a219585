"""Figures of out-of-fold predictions: curves of each fold and of all together, the confusion matrix, and the
distribution of the predictions of each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seedfold.results.stages.figure_files import (
    COLOURS,
    INK_COLOUR,
    WHY_POOLED_DIFFERS,
    figure_style,
    new_figure,
    save_figure,
)
from seedfold.results.store.metrics import auroc, average_precision

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HALF_THRESHOLD = 0.5
_BINS = 50


def draw_oof_figures(folder: Path, table: pd.DataFrame) -> None:
    """Write ``roc.svg``, ``precision_recall.svg``, ``confusion.svg`` and ``oof_predictions.svg``.

    ``table`` has the columns target (0 or 1), pred (probability of class 1) and fold. The number beside a curve is
    its area; for precision and recall it is the average precision. The curve of all folds ranks samples of one fold
    against those of others; the mean of the folds' areas stands beside it.
    """
    with figure_style():
        save_figure(_draw_roc(table), folder / "roc.svg")
        save_figure(_draw_precision_recall(table), folder / "precision_recall.svg")
        save_figure(_draw_confusion(table), folder / "confusion.svg")
        save_figure(_draw_distributions(table), folder / "oof_predictions.svg")


def _fold_lines(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Any]]:
    """Yield each fold that has both classes, then all folds: name, rows, and style of the line."""
    for number, (fold, own) in enumerate(table.groupby("fold")):
        if own["target"].nunique() == 2:
            yield f"fold {fold}", own, {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.0, "alpha": 0.8}
    yield "all pooled", table, {"color": INK_COLOUR, "linewidth": 2.0}


def _draw_roc(table: pd.DataFrame) -> Figure:
    from sklearn.metrics import roc_curve

    figure, axes = _square_figure("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color="0.85", linewidth=1)
    areas = {}
    for name, own, line in _fold_lines(table):
        truth, p = own["target"].to_numpy(), own["pred"].to_numpy()
        x, y, _ = roc_curve(truth, p)
        areas[name] = auroc(truth == 1, p)
        axes.plot(x, y, label=f"{name}: {areas[name]:.3f}", **line)
    _add_legend(figure, axes, "area", areas, "lower right")
    return figure


def _add_legend(figure: Figure, axes: Axes, title: str, areas: dict[str, float], place: Any) -> None:
    """Add the mean of the folds to the legend, and say below the figure why it differs from the pooled area."""
    *folds, _ = areas.values()
    if folds:
        axes.plot([], [], " ", label=f"mean of folds: {np.mean(folds):.3f}")
        figure.supxlabel(WHY_POOLED_DIFFERS, fontsize=6)
    axes.legend(frameon=False, fontsize=8, title=title, title_fontsize=8, loc=place)


def _draw_precision_recall(table: pd.DataFrame) -> Figure:
    from sklearn.metrics import precision_recall_curve

    figure, axes = _square_figure("recall", "precision")
    axes.axhline(table["target"].mean(), color="0.85", linewidth=1)
    areas = {}
    for name, own, line in _fold_lines(table):
        truth, p = own["target"].to_numpy(), own["pred"].to_numpy()
        precision, recall, _ = precision_recall_curve(truth, p)
        areas[name] = average_precision(truth == 1, p)
        axes.plot(recall, precision, label=f"{name}: {areas[name]:.3f}", drawstyle="steps-post", **line)
    _add_legend(figure, axes, "average precision", areas, "upper right")
    return figure


def _square_figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = new_figure(4.2, 4.1)
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return figure, axes


def _draw_confusion(table: pd.DataFrame) -> Figure:
    figure = new_figure(6.4, 3.1)
    left, right = figure.subplots(1, 2)
    truth, p = table["target"].to_numpy(), table["pred"].to_numpy()
    _draw_confusion_matrix(left, truth, p >= _HALF_THRESHOLD, f"from {_HALF_THRESHOLD:g} on")
    _draw_confusion_matrix(
        right, truth, p >= thresholds_of_other_folds(table), "from a threshold of the other folds on"
    )
    left.set_ylabel("class")
    return figure


def _draw_confusion_matrix(axes: Axes, truth: npt.NDArray[Any], positive: npt.NDArray[Any], title: str) -> None:
    """Draw the samples by class and prediction, shaded by their share of the class."""
    counts = np.bincount(2 * truth + positive, minlength=4).reshape(2, 2)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > _HALF_THRESHOLD else INK_COLOUR
        axes.text(column, row, f"{count:,}\n{shares[row, column]:.1%}", ha="center", va="center", color=colour)
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="predicted class")
    axes.set_title(title, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def thresholds_of_other_folds(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return a threshold per row: that with the largest sensitivity + specificity (Youden 1950) on other folds."""
    from sklearn.metrics import roc_curve

    found = np.empty(len(table))
    folds = table["fold"].to_numpy()
    for fold in np.unique(folds):
        others = table[folds != fold]
        false, true, thresholds = roc_curve(others["target"], others["pred"], drop_intermediate=False)
        found[folds == fold] = thresholds[np.argmax(true - false)]
    return found


def _draw_distributions(table: pd.DataFrame) -> Figure:
    figure = new_figure(4.2, 2.8)
    axes = figure.subplots()
    for number, (target, own) in enumerate(table.groupby("target")):
        style: Any = {"histtype": "step", "linewidth": 1.6, "color": COLOURS[number % len(COLOURS)]}
        axes.hist(own["pred"], bins=_BINS, range=(0, 1), log=True, label=f"class {target}", **style)
    axes.set(xlabel="predicted probability, out of fold", ylabel="samples")
    axes.legend(frameon=False, fontsize=8)
    return figure
