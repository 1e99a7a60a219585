"""The style of figures that jobs write as files, with colours that colour-blind people can distinguish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
INK_COLOUR = "#333333"
WHY_POOLED_DIFFERS = (
    "Pooled, samples of one fold are also ranked against those of others, which other models predicted:\n"
    "such an area changes with the scales of these models, also where none of them ranks better."
)
"""The note on a figure that shows an area of all folds together."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "seedfold",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Return a context with the style; draw and save figures inside it."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, file: Path) -> None:
    """Write the figure without the time of writing, so that equal figures have equal bytes."""
    figure.savefig(file, metadata={"Date": None, "Creator": None})
