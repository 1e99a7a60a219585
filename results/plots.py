"""Figures as inline SVG: text stays text, colours are the page's CSS variables, nothing is fetched.

A figure's colours follow the page into dark mode: lines and bands are drawn in marker colours that become
``var(--series-N)``, text and axes become ``currentColor``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = 8
"""How many series a figure tells apart; the palette (Okabe and Ito's) is safe for the colour-blind."""

_INK, _GRID = "#010203", "#040506"
_MARKERS = [f"#0a0b{number:02x}" for number in range(SERIES)]
_SIZE = (4.2, 2.8)
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "seedfold",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "grid.color": _GRID,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Points (n,) in order of x, drawn in the colour of ``series``; ``low`` and ``high`` (n,) bound a band or bars."""

    series: int
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    dashed: bool = False


def draw(name: str, plot: Callable[[Axes], None]) -> str:
    """Return the SVG that ``plot`` draws; ``name`` makes its ids unique on a page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        plot(figure.add_subplot())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), name)


def _inline(text: str, name: str) -> str:
    svg = text[text.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r'\1 aria-hidden="true" focusable="false"', svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"(\d+\.\d\d)\d+", r"\1", svg)
    for number, marker in enumerate(_MARKERS):
        svg = svg.replace(marker, f"var(--series-{number})")
    return svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")


def lines(name: str, found: Sequence[Line], x: str, y: str) -> str:
    """Return a figure of lines with bands between ``low`` and ``high``."""
    from matplotlib.ticker import MaxNLocator

    def plot(axes: Axes) -> None:
        for line in found:
            colour = _MARKERS[line.series]
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(line.x, line.y, color=colour, linestyle="--" if line.dashed else "-")
        axes.set(xlabel=x, ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return draw(name, plot)


def error_bars(name: str, found: Sequence[Line], x: str, y: str) -> str:
    """Return a figure of points with bars from ``low`` to ``high``; positive x over a wide range is logarithmic."""

    def plot(axes: Axes) -> None:
        places = sorted({float(each) for line in found for each in line.x})
        wide = places[0] > 0 and places[-1] / places[0] >= 20
        step = min((b - a for a, b in pairwise(places)), default=1.0)
        for position, line in enumerate(found):
            # Series side by side, so that their bars do not hide each other.
            off = (position - (len(found) - 1) / 2) * 0.035
            at = line.x * (1 + 2 * off) if wide else line.x + off * step
            low, high = (line.y if bound is None else bound for bound in (line.low, line.high))
            axes.errorbar(
                at, line.y, [line.y - low, high - line.y], color=_MARKERS[line.series], marker="o", markersize=4,
                capsize=2.5, elinewidth=1,
            )  # fmt: skip
        axes.set(xlabel=x, ylabel=y, xscale="log" if wide else "linear")
        if len(places) <= 12:
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()

    return draw(name, plot)


def curves(name: str, found: Sequence[Line], x: str, y: str, diagonal: bool) -> str:
    """Return a figure of curves in the unit square, with the diagonal of a guess where it means one."""

    def plot(axes: Axes) -> None:
        if diagonal:
            axes.plot([0, 1], [0, 1], color=_GRID, linewidth=1)
        for line in found:
            axes.plot(line.x, line.y, color=_MARKERS[line.series])
        axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))

    return draw(name, plot)
