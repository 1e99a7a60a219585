"""Figures of masks: slices with predicted and true masks, and scores of each network, axis and orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seedfold.results.evaluation.overlaps import Overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREEN, _PINK, _DARK_GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222"
_PASS_STYLES = {
    (0, "original"): (_BLUE, "o"),
    (0, "mirrored"): (_BLUE, "^"),
    (1, "original"): (_ORANGE, "o"),
    (1, "mirrored"): (_ORANGE, "^"),
}
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "seedfold", "font.size": 9}


@dataclass(frozen=True)
class SlicePicture:
    """A slice (horizontal axis, depth): amplitudes, probability, mask found, and true mask where it is known."""

    title: str
    image: NDArray[Any]
    probability: NDArray[Any]
    found: NDArray[np.bool_]
    true: NDArray[np.bool_] | None


@dataclass(frozen=True)
class ScoreRow:
    """Overlap of a model along an axis in an orientation; without these, the overlap of the mean of all."""

    model: str
    axis: int | None
    orientation: str | None
    overlap: Overlap


def draw_slices(file: Path, pictures: Sequence[SlicePicture]) -> None:
    """Draw a row per slice, depth downwards: amplitudes; probability; the mask found, and how far it is right."""
    from matplotlib.figure import Figure

    width, depth = pictures[0].image.shape
    height = float(np.clip(2.6 * depth / width, 1.2, 3.4))
    figure = Figure(figsize=(9, (height + 0.35) * len(pictures)), layout="constrained")
    grid: Any = figure.subplots(len(pictures), 3, squeeze=False)
    for row, picture in zip(grid, pictures, strict=True):
        row[0].imshow(picture.image.T.astype(np.float32), cmap="gray", vmin=-3, vmax=3, aspect="auto")
        row[0].set_title(picture.title, fontsize=8, loc="left")
        row[0].set_ylabel("depth", fontsize=8)
        shown = row[1].imshow(picture.probability.T.astype(np.float32), cmap="magma", vmin=0, vmax=1, aspect="auto")
        row[1].set_title("probability of a fault", fontsize=8, loc="left")
        _draw_masks(row[2], picture)
        for axes in row:
            axes.set(xticks=[], yticks=[])
        figure.colorbar(shown, ax=row[1], fraction=0.06, pad=0.02)
    figure.savefig(file, dpi=100, metadata={"Software": None})


def _draw_masks(axes: Axes, picture: SlicePicture) -> None:
    grey = np.clip((picture.image.T.astype(np.float32) + 3) / 6, 0, 1)
    colours = np.repeat((0.35 + 0.6 * grey)[..., None], 3, axis=2)
    if picture.true is None:
        legend = [(_PINK, "found", picture.found)]
    else:
        legend = [
            (_GREEN, "found, true", picture.found & picture.true),
            (_ORANGE, "found, not true", picture.found & ~picture.true),
            (_BLUE, "missed", ~picture.found & picture.true),
        ]
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    for colour, _, where in legend:
        colours[where.T] = to_rgb(colour)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    handles = [Patch(color=colour, label=label) for colour, label, _ in legend]
    axes.legend(
        handles=handles, fontsize=7, ncols=3, frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 0.99),
        borderpad=0, handlelength=1, columnspacing=1,
    )  # fmt: skip


def draw_scores(file: Path, rows: Sequence[ScoreRow]) -> None:
    """Draw a row per model: the Dice coefficient for each axis and orientation, and for their mean."""
    import matplotlib
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row.model for row in rows))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.5, 1.6 + 0.3 * len(models)), layout="constrained")
        axes = figure.subplots()
        for pass_key in [*_PASS_STYLES, (None, None)]:
            rows_of_pass = [row for row in rows if (row.axis, row.orientation) == pass_key]
            if rows_of_pass:
                _draw_pass(axes, rows_of_pass, models, pass_key)
        axes.set_yticks(range(len(models)), models)
        axes.invert_yaxis()
        axes.set_xlabel("Dice coefficient of all held-out volumes together")
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def _draw_pass(axes: Axes, rows: Sequence[ScoreRow], models: Sequence[str], pass_key: tuple[Any, Any]) -> None:
    axis, orientation = pass_key
    colour, marker = _PASS_STYLES.get(pass_key, (_DARK_GREY, "D"))
    label = "mean of all" if axis is None else f"axis {axis}, {orientation}"
    positions = [models.index(row.model) for row in rows]
    axes.plot(
        [row.overlap.dice for row in rows], positions, marker, color=colour, label=label, markersize=6, fillstyle="none"
        if axis is not None else "full",
    )  # fmt: skip
