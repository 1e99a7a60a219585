"""Learning curves as text: each metric is a line with blocks of eight heights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from seedfold.jobs.errors import count_noun
from seedfold.jobs.terminal_text import terminal_text
from seedfold.orchestrator.cli.console import align_rows
from seedfold.orchestrator.state.job_curves import Points

_BLOCKS = "▁▂▃▄▅▆▇█"
_GAP = " "
_WIDEST = 40
_NARROWEST = 8


def curve_lines(curves: Mapping[str, Points], width: int) -> list[str]:
    """Return one line for each metric of a job: its curve, its first and last value, and its number of points.

    ``curves`` has the points (step, value) of each metric. The curve is as wide as there is room for.
    """
    shown = {name: points for name, points in curves.items() if points}
    names = [terminal_text(name) for name in shown]
    ends = [
        f"{_number_text(points[0][1])} → {_number_text(points[-1][1])}, {count_noun(len(points), 'point')}"
        for points in shown.values()
    ]
    taken = max(map(len, names), default=0) + max(map(len, ends), default=0) + 6
    blocks = [draw_curve([value for _, value in points], max(_NARROWEST, width - taken)) for points in shown.values()]
    return [f"  {line}" for line in align_rows(list(zip(names, blocks, ends, strict=True)), right=())]


def _number_text(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4g}"


def draw_curve(values: Sequence[float | None], width: int) -> str:
    """Return values as blocks, at most ``width`` and 40 of them: each is the mean of neighbours where there are more.

    A value that is None is a gap; if all values are the same, the blocks are low.
    """
    columns = min(len(values), width, _WIDEST)
    bounds = [round(place * len(values) / columns) for place in range(columns + 1)] if columns else [0]
    parts = [[value for value in values[first:last] if value is not None] for first, last in pairwise(bounds)]
    means = [sum(part) / len(part) if part else None for part in parts]
    finite = [mean for mean in means if mean is not None]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_GAP if mean is None else _block(mean, low, high) for mean in means)


def _block(value: float, low: float, high: float) -> str:
    place = 0.0 if high <= low else (value - low) / (high - low)
    return _BLOCKS[min(int(place * len(_BLOCKS)), len(_BLOCKS) - 1)]
