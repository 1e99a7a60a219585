"""Figures as inline SVG: text stays text, colours are CSS variables of the page, and no file is loaded.

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

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 8
"""How many series a figure can show; the colours (Okabe and Ito's) can be distinguished by colour-blind people."""

LIGHT_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#c66a9b", "#c98500", "#3fa3dc", "#5b6470", "#8d7a00")
DARK_COLOURS = ("#4da3db", "#f0803c", "#2cc295", "#e09bc4", "#f2b93b", "#9ad6f7", "#9aa4b0", "#d6c53e")
"""Colours of series on a light and on a dark page."""

_TEXT_MARKER, _GRID_MARKER = "#010203", "#040506"
_SERIES_MARKERS = [f"#0a0b{number:02x}" for number in range(MAX_SERIES)]
FIRST_COLOUR = _SERIES_MARKERS[0]
"""Stands for the first colour of the page in what `draw_inline` draws."""
SECOND_COLOUR = _SERIES_MARKERS[1]
"""The same for the second colour."""
GRID_COLOUR = _GRID_MARKER
"""The same for the colour of grids."""
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
    "grid.color": _GRID_MARKER,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT_MARKER),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Points (n,) in order of x, drawn in the colour of ``series``; ``low`` and ``high`` (n,) bound a band or bars.

    The line breaks where y is NaN.
    """

    series: int
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    dashed: bool = False


def draw_inline(name: str, plot: Callable[[Axes], None]) -> str:
    """Return the SVG that ``plot`` draws; ``name`` makes its ids unique on a page."""
    return _make_inline(_draw_svg(plot), name)


def _draw_svg(plot: Callable[[Axes], None], labels: Sequence[str] = (), title: str = "") -> str:
    """Return the SVG as matplotlib writes it, with a legend below if there are ``labels``."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE[0], _SIZE[1] + 0.17 * (len(labels) + 1 >> 1)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        plot(axes)
        axes.set_title(title, fontsize=9, loc="left")
        if labels:
            figure.legend(axes.lines, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return buffer.getvalue()


def _with_colour_scheme(svg: str) -> str:
    """Let an SVG file follow the light or dark mode of the program that shows it."""
    rules = [
        f":root {{ color: {ink}; background: {page}; --grid: {grid}; {_colour_variables(colours)} }}"
        for ink, page, grid, colours in (
            ("#1c2024", "#ffffff", "#e6e8ea", LIGHT_COLOURS),
            ("#e4e7ea", "#14171a", "#2b3137", DARK_COLOURS),
        )
    ]
    style = f"<style>{rules[0]} @media (prefers-color-scheme: dark) {{ {rules[1]} }}</style>"
    # Programs that do not know CSS variables take the colour after the comma.
    for number, marker in enumerate(_SERIES_MARKERS):
        svg = svg.replace(marker, f"var(--series-{number}, {LIGHT_COLOURS[number]})")
    svg = svg.replace(_TEXT_MARKER, "currentColor").replace(_GRID_MARKER, "var(--grid, #e6e8ea)")
    end = svg.index(">", svg.index("<svg")) + 1
    return svg[:end] + style + svg[end:]


def _colour_variables(colours: Sequence[str]) -> str:
    return " ".join(f"--series-{number}: {colour};" for number, colour in enumerate(colours))


def _make_inline(text: str, name: str) -> str:
    svg = text[text.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r'\1 aria-hidden="true" focusable="false"', svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    # Coordinates need no more digits; the numbers on an axis keep theirs.
    svg = re.sub(r"(>[^<]+<)|(\d+\.\d\d)\d+", lambda found: found[1] or found[2], svg)
    for number, marker in enumerate(_SERIES_MARKERS):
        svg = svg.replace(marker, f"var(--series-{number})")
    return svg.replace(_TEXT_MARKER, "currentColor").replace(_GRID_MARKER, "var(--grid)")


def draw_lines(name: str, series: Sequence[Line], x: str, y: str) -> str:
    """Return a figure of lines with bands between ``low`` and ``high``."""
    return draw_inline(name, _line_plot(series, x, y))


def draw_lines_file(title: str, series: Sequence[Line], labels: Sequence[str], x: str, y: str) -> str:
    """Return the same as the text of an SVG file, with its title and a legend below."""
    return _with_colour_scheme(_draw_svg(_line_plot(series, x, y), labels, title))


def _line_plot(series: Sequence[Line], x: str, y: str) -> Callable[[Axes], None]:
    from matplotlib.ticker import MaxNLocator

    def plot(axes: Axes) -> None:
        for line in series:
            colour = _SERIES_MARKERS[line.series]
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
            # Between two breaks there may be only one point.
            marker = "." if np.isnan(line.y).any() else ""
            axes.plot(line.x, line.y, color=colour, linestyle="--" if line.dashed else "-", marker=marker)
        axes.set(xlabel=x, ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return plot


def draw_error_bars(name: str, series: Sequence[Line], x: str, y: str) -> str:
    """Return a figure of points with bars from ``low`` to ``high``; positive x over a wide range is logarithmic."""

    def plot(axes: Axes) -> None:
        x_values = sorted({float(each) for line in series for each in line.x})
        wide = x_values[0] > 0 and x_values[-1] / x_values[0] >= 20
        step = min((b - a for a, b in pairwise(x_values)), default=1.0)
        for position, line in enumerate(series):
            # Series side by side, so that their bars do not hide each other.
            off = (position - (len(series) - 1) / 2) * 0.035
            at = line.x * (1 + 2 * off) if wide else line.x + off * step
            low, high = (line.y if bound is None else bound for bound in (line.low, line.high))
            axes.errorbar(
                at, line.y, [line.y - low, high - line.y], color=_SERIES_MARKERS[line.series], marker="o", markersize=4,
                capsize=2.5, elinewidth=1,
            )  # fmt: skip
        axes.set(xlabel=x, ylabel=y, xscale="log" if wide else "linear")
        if len(x_values) <= 12:
            axes.set_xticks(x_values, [f"{place:g}" for place in x_values])
            axes.minorticks_off()

    return draw_inline(name, plot)


def draw_curves(name: str, series: Sequence[Line], x: str, y: str, diagonal: bool) -> str:
    """Return a figure of curves in the unit square, with the diagonal of guessing if the curves are ROC curves."""

    def plot(axes: Axes) -> None:
        if diagonal:
            axes.plot([0, 1], [0, 1], color=_GRID_MARKER, linewidth=1)
        for line in series:
            axes.plot(line.x, line.y, color=_SERIES_MARKERS[line.series])
        axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))

    return draw_inline(name, plot)


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences (n,) of pairs, drawn in the colour of ``series``, with their mean and its interval, if it has one."""

    series: int
    each: Array
    mean: float
    low: float | None = None
    high: float | None = None


def draw_differences(name: str, found: Sequence[Differences], x: str) -> str:
    """Return a figure of differences, one row for each of ``found``, with a vertical line at zero."""

    def plot(axes: Axes) -> None:
        axes.axvline(0.0, color=_TEXT_MARKER, linewidth=0.8)
        for place, line in enumerate(found):
            colour = _SERIES_MARKERS[line.series]
            axes.plot(line.each, [place] * len(line.each), "o", color=colour, markersize=3, alpha=0.4)
            low, high = (line.mean if bound is None else bound for bound in (line.low, line.high))
            axes.errorbar(
                [line.mean], [place], xerr=[[line.mean - low], [high - line.mean]], color=colour, marker="D",
                markersize=5, capsize=3, elinewidth=1.6,
            )  # fmt: skip
        axes.set(xlabel=x, ylim=(len(found) - 0.4, -0.6), yticks=[])

    return draw_inline(name, plot)
