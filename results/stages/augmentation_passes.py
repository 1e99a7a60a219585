"""The effect of test-time augmentation: areas under the ROC curve with and without it, and tests of the difference.

The verdict is about the mean of the folds' areas. The pooled area of all folds is shown beside it: more passes make the
scales of the folds' models more alike, which raises the pooled area even if every model ranks its samples worse.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.results.comparison.resampled_areas import Fold, resample_areas
from seedfold.results.evaluation.fold_areas import fold_areas
from seedfold.results.stages.figure_files import (
    COLOURS,
    INK_COLOUR,
    WHY_POOLED_DIFFERS,
    figure_style,
    new_figure,
    save_figure,
)
from seedfold.results.store.metrics import auroc

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_UNDECIDED = "no difference can be told"
_SUMMARIES = ("mean", "all")

_log = logging.getLogger(__name__)


def compare_passes(folder: Path, passes: Sequence[Any], tables: Sequence[pd.DataFrame], scores: pd.DataFrame) -> None:
    """Write ``passes.csv`` and ``passes.svg``, and log what they say.

    ``tables`` are those of `make_passes_table`; the first two columns of ``scores`` are the number of passes and the
    fold, and the column auroc has the area.
    """
    found = make_passes_table(passes, tables)
    found.to_csv(folder / "passes.csv", index=False)
    lines = [_describe_row(row) for row in found.itertuples(index=False)]
    for line in [*lines, WHY_POOLED_DIFFERS.replace("\n", " ")]:
        _log.info("%s", line)
    with figure_style():
        save_figure(_draw_passes(scores, lines), folder / "passes.svg")


def make_passes_table(passes: Sequence[Any], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a row for each number of passes after the first, compared with the first on the same samples.

    ``tables`` are out-of-fold predictions with target, pred and fold, in one order. ``auroc`` is the mean of the folds'
    areas under the ROC curve, and ``gain`` its difference. ``low`` and ``high`` are the middle 95 % of the gain over
    1000 draws of as many samples of each fold and class with replacement (Efron 1979), and ``verdict`` is whether zero
    lies outside. The area increased in ``folds_better`` of ``folds``. ``pooled`` is the area of all folds' predictions
    together, which also ranks samples of one fold against those of others. Folds that lack a class are left out of all
    of this.
    """
    import pandas as pd

    first = tables[0]
    rows = [_compare_tables(first, table) for table in tables[1:]]
    there = {"passes": passes[1:], "instead_of": [passes[0]] * len(rows)}
    return pd.DataFrame(there).join(pd.DataFrame(rows))


def _compare_tables(first: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    targets, folds = first["target"].to_numpy(), first["fold"].to_numpy()
    before, after = first["pred"].to_numpy(), other["pred"].to_numpy()
    areas = [fold_areas(targets == 1, scores, folds) for scores in (before, after)]
    ranked = np.isin(folds, list(areas[0]))
    own = [ranked & (folds == fold) for fold in areas[0]]
    found = resample_areas([Fold(targets[rows], before[rows, None], after[rows, None]) for rows in own])
    pooled = [auroc(targets[ranked] == 1, scores[ranked]) for scores in (before, after)]
    return {
        "auroc_instead_of": found.first,
        "auroc": found.second,
        "gain": found.difference,
        "low": found.low,
        "high": found.high,
        "verdict": "better" if found.low > 0 else "worse" if found.high < 0 else _UNDECIDED,
        "folds_better": sum(areas[1][fold] > area for fold, area in areas[0].items()),
        "folds": len(areas[0]),
        "pooled_instead_of": pooled[0],
        "pooled": pooled[1],
    }


def _describe_row(row: Any) -> str:
    interval = f"{row.low:+.4f} to {row.high:+.4f}"
    return (
        f"{row.passes} passes instead of {row.instead_of}: mean AUC of the folds {row.auroc:.4f} instead of "
        f"{row.auroc_instead_of:.4f}; {row.verdict} (95 %: {interval}), higher in {row.folds_better} of {row.folds} "
        f"folds; all folds pooled: {row.pooled:.4f} instead of {row.pooled_instead_of:.4f}"
    )


def _draw_passes(scores: pd.DataFrame, lines: Sequence[str]) -> Figure:
    areas = scores.pivot(index="fold", columns=scores.columns[0], values="auroc")
    areas = areas.loc[list(dict.fromkeys(scores["fold"]))]
    figure = new_figure(5.2, 2.6 + 0.5 * len(lines))
    axes = figure.subplots()
    places = range(len(areas))
    axes.vlines(places, areas.min(axis=1), areas.max(axis=1), color=INK_COLOUR, linewidth=0.6)
    for number, name in enumerate(areas):
        axes.plot(places, areas[name], "o", color=COLOURS[number % len(COLOURS)], markersize=5, label=f"{name}")
    summaries = [place for place, fold in enumerate(areas.index) if fold in _SUMMARIES]
    if summaries:
        axes.axvline(min(summaries) - 0.5, color="0.8", linewidth=0.8)
    names = {"mean": "mean of\nfolds", "all": "all folds\npooled"}
    axes.set_xticks(places, [names.get(fold, str(fold)) for fold in areas.index])
    axes.set(xlabel="fold", ylabel="area under the ROC curve")
    axes.legend(frameon=False, fontsize=8, title="passes", title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title("\n".join(line.replace("; ", ";\n") for line in lines), fontsize=8, loc="left")
    figure.supxlabel(WHY_POOLED_DIFFERS, fontsize=7)
    return figure
