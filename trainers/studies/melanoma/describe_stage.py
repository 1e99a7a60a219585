"""Draws the columns of a table as they are in the file; the settings are ``describe``.

For people it writes a figure for each column, by its name: the classes of the target; categories with the number of
rows of each, and how many of these rows have class 1; numbers with their distribution in each class. Missing values are
shown as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import Work
from seedfold.trainers.data.samples import require_data_path
from seedfold.trainers.data.table import find_column, read_frame, to_class_numbers
from seedfold.trainers.studies.melanoma.metadata import to_numbers, to_observed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from seedfold.trainers.data.samples import Indices

PRELOAD = ("numpy", "pandas", "matplotlib.figure", "seedfold.trainers.studies.melanoma.describe_stage")
MISSING_LABEL = "missing"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_BINS = 20


@dataclass(frozen=True)
class DescribeSettings:
    """``describe``: the table, the column of the class, the columns to draw, and the words that mean an empty field."""

    path: str
    target: str
    categories: Sequence[str] = ()
    numbers: Sequence[str] = ()
    missing: Sequence[str] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DescribeSettings:
        """Read ``config.describe``; raises ConfigFailure for an unknown or missing key."""
        return read_settings(cls, config.get("describe"), "describe")


def run(work: Work) -> None:
    """Write the figures; raises DataFailure for a missing file or column, or a value that is not a number."""
    settings = DescribeSettings.from_config(work.config)
    path = require_data_path(settings.path)
    work.reads(path)
    rows = read_frame(path)
    targets = to_class_numbers(rows[find_column(rows, settings.target, path)], None, path)

    def values(name: str) -> pd.Series[Any]:
        return to_observed(rows[find_column(rows, name, path)], settings.missing)

    _draw_categories(_figure_file(work, settings.target), settings.target, rows[settings.target].astype(str), None)
    for name in settings.categories:
        _draw_categories(_figure_file(work, name), name, values(name).fillna(MISSING_LABEL).astype(str), targets)
    for name in settings.numbers:
        _draw_numbers(_figure_file(work, name), name, to_numbers(values(name), name, path), targets)


def _figure_file(work: Work, name: str) -> Path:
    return work.outputs / f"{name.replace('/', '_')}.svg"


def _draw_categories(file: Path, name: str, values: pd.Series[Any], targets: Indices | None) -> None:
    """Draw how many rows each category has, the most frequent on top, and beside it the share of class 1."""
    from matplotlib.figure import Figure

    counts = values.value_counts().sort_values()
    figure = Figure(figsize=(5.0 if targets is None else 7.5, 1.0 + 0.32 * len(counts)), layout="constrained")
    axes: Any = figure.subplots(1, 1 if targets is None else 2, sharey=True, squeeze=False)[0]
    bars = axes[0].barh(list(counts.index), counts, color=_COLOURS[0])
    axes[0].bar_label(bars, [f"{n:,}  ({n / len(values):.1%})" for n in counts], padding=3, fontsize=8)
    axes[0].set(xlabel="rows", ylabel=name, xlim=(0, 1.35 * counts.max()))
    if targets is not None:
        _draw_shares(axes[1], values, targets == 1, list(counts.index))
    _save_figure(figure, axes, file)


def _draw_shares(axes: Axes, values: pd.Series[Any], positive: Any, names: Sequence[str]) -> None:
    """Draw the share of class 1 per category, with the standard error, and the share in all rows as a dashed line."""
    groups = [positive[(values == name).to_numpy()] for name in names]
    shares = np.array([group.mean() for group in groups])
    errors = np.sqrt(shares * (1 - shares) / [len(own) for own in groups])
    axes.errorbar(shares, list(names), xerr=errors, fmt="o", color=_COLOURS[1], markersize=5)
    axes.axvline(positive.mean(), color="0.4", linestyle="--", linewidth=1)
    axes.set(xlabel="share of class 1 ± standard error")
    axes.set_xlim(left=min(0.0, *(shares - errors)))


def _draw_numbers(file: Path, name: str, values: Any, targets: Indices) -> None:
    """Draw the distribution of a number in each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    axes: Any = figure.subplots()
    known = np.isfinite(values)
    edges = np.histogram_bin_edges(values[known], min(_BINS, len(np.unique(values[known]))))
    for number in np.unique(targets):
        class_values = values[known & (targets == number)]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.hist(
            class_values, edges, density=True, histtype="step", color=colour, linewidth=1.8, label=f"class {number}"
        )
        axes.axvline(class_values.mean(), color=colour, linestyle="--", linewidth=1)
    axes.set(xlabel=f"{name} (dashed: mean; {MISSING_LABEL} in {np.mean(~known):.1%} of rows)", ylabel="density")
    axes.legend(frameon=False)
    _save_figure(figure, np.array([axes]), file)


def _save_figure(figure: Any, all_axes: Any, file: Path) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
