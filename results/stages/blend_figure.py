"""A figure of the score of a blend, those of its members, and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.results.stages.figure_files import (
    COLOURS,
    INK_COLOUR,
    WHY_POOLED_DIFFERS,
    figure_style,
    new_figure,
    save_figure,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_ALL_FOLDS, _MEAN_OF_FOLDS = "all", "mean"


def draw_blend(file: Path, scores: pd.DataFrame, weights: pd.DataFrame) -> None:
    """Draw a row per member and blend: areas under the ROC curve of each fold, their mean, the pooled area, weights.

    ``scores`` has the columns model, fold and auroc; ``weights`` has member, given and chosen.
    """
    names = list(dict.fromkeys(scores["model"]))
    with figure_style():
        figure = new_figure(8.2, 1.6 + 0.3 * len(names))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        _draw_areas(left, scores, names)
        _draw_weights(right, weights)
        left.set_yticks(range(len(names)), names, fontsize=8)
        left.set_ylim(len(names) - 0.5, -0.5)
        left.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        right.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        figure.supxlabel(f"{WHY_POOLED_DIFFERS}\nWeights are chosen by the mean of the folds.", fontsize=7)
        save_figure(figure, file)


def _draw_areas(axes: Axes, scores: pd.DataFrame, names: list[str]) -> None:
    rows = scores["model"].map(names.index)
    pooled = (scores["fold"] == _ALL_FOLDS).to_numpy()
    mean = (scores["fold"] == _MEAN_OF_FOLDS).to_numpy()
    folds = ~pooled & ~mean
    axes.plot(scores["auroc"][folds], rows[folds], "o", color=COLOURS[5], markersize=3, label="a fold")
    axes.plot(scores["auroc"][mean], rows[mean], "D", color=INK_COLOUR, markersize=5, label="mean of the folds")
    open_marker: Any = {"color": INK_COLOUR, "markersize": 6, "markerfacecolor": "none"}
    axes.plot(scores["auroc"][pooled], rows[pooled], "s", label="all folds pooled", **open_marker)
    axes.axhline(len(names) - 2.5, color="0.8", linewidth=0.8)
    axes.set_xlabel("area under the ROC curve")
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)


def _draw_weights(axes: Axes, weights: pd.DataFrame) -> None:
    positions = np.arange(len(weights))
    for number, (name, off) in enumerate((("given", -0.18), ("chosen", 0.18))):
        style: Any = {"color": COLOURS[number], "label": name}
        axes.barh(positions + off, weights[name], height=0.34, **style)
    axes.set_xlabel("weight")
