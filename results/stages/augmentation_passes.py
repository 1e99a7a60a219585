"""What passes of test-time augmentation change: areas under the ROC curve with and without, and what can be said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seedfold.results.stages.figure_files import COLOURS, INK_COLOUR, figure_style, new_figure, save_figure
from seedfold.results.store.metrics import auroc

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

_RESAMPLES = 500
_SEED = 42
_UNDECIDED = "no difference can be told"

_log = logging.getLogger(__name__)


def compare_passes(folder: Path, passes: Sequence[Any], tables: Sequence[pd.DataFrame], scores: pd.DataFrame) -> None:
    """Write ``passes.csv`` and ``passes.svg``, and tell what they say.

    ``tables`` are those of `make_passes_table`; the first columns of ``scores`` are the number of passes and the fold,
    one named auroc has the area.
    """
    found = make_passes_table(passes, tables)
    found.to_csv(folder / "passes.csv", index=False)
    lines = [_describe_row(row) for row in found.itertuples(index=False)]
    for line in lines:
        _log.info("%s", line)
    with figure_style():
        save_figure(_draw_passes(scores, lines), folder / "passes.svg")


def make_passes_table(passes: Sequence[Any], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a row for each number of passes after the first, held against the first on the same samples.

    ``tables`` are out-of-fold predictions with target and pred, in one order. ``gain`` is the difference of the areas
    under the ROC curve; ``low`` and ``high`` are the middle 95 % of it over 500 draws of as many samples of each class
    with replacement (Efron 1979), and ``verdict`` is whether they leave out zero.
    """
    import pandas as pd

    first = tables[0]
    rows = [_compare_tables(first, table) for table in tables[1:]]
    columns = {"passes": passes[1:], "instead_of": [passes[0]] * len(rows)}
    return pd.DataFrame(columns).join(pd.DataFrame(rows))


def _compare_tables(first: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    from scipy.stats import bootstrap

    positive = first["target"].to_numpy() == 1
    before, after = first["pred"].to_numpy(), other["pred"].to_numpy()

    def gain(ones: Array, others: Array) -> float:
        rows = np.concatenate([ones, others])
        return auroc(positive[rows], after[rows]) - auroc(positive[rows], before[rows])

    classes = (np.flatnonzero(positive), np.flatnonzero(~positive))
    options = {"n_resamples": _RESAMPLES, "vectorized": False, "method": "percentile"}
    low, high = bootstrap(classes, gain, random_state=_SEED, **options).confidence_interval
    verdict = "better" if low > 0 else "worse" if high < 0 else _UNDECIDED
    areas = {"auroc_instead_of": auroc(positive, before), "auroc": auroc(positive, after)}
    return {**areas, "gain": gain(*classes), "low": low, "high": high, "verdict": verdict}


def _describe_row(row: Any) -> str:
    interval = f"{row.low:+.4f} to {row.high:+.4f}"
    return (
        f"{row.passes} passes instead of {row.instead_of}: AUC {row.auroc:.4f} instead of {row.auroc_instead_of:.4f}, "
        f"{row.verdict} (95 %: {interval})"
    )


def _draw_passes(scores: pd.DataFrame, lines: Sequence[str]) -> Figure:
    areas = scores.pivot(index="fold", columns=scores.columns[0], values="auroc")
    areas = areas.loc[list(dict.fromkeys(scores["fold"]))]
    figure = new_figure(5.2, 2.4 + 0.3 * len(lines))
    axes = figure.subplots()
    positions = range(len(areas))
    axes.vlines(positions, areas.min(axis=1), areas.max(axis=1), color=INK_COLOUR, linewidth=0.6)
    for number, name in enumerate(areas):
        axes.plot(positions, areas[name], "o", color=COLOURS[number % len(COLOURS)], markersize=5, label=f"{name}")
    axes.set_xticks(positions, [str(fold) for fold in areas.index])
    axes.set(xlabel="fold", ylabel="area under the ROC curve")
    axes.legend(frameon=False, fontsize=8, title="passes", title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title("\n".join(line.replace(", ", ",\n", 1) for line in lines), fontsize=8, loc="left")
    return figure
