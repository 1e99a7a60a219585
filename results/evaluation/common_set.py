"""Means along an axis over the same repetitions or tasks at every point; if they are not, the caption says so.

If most members of a line are at all of its points, its means are over these alone. Otherwise all means are kept, and
the line has a break where a point has other members than the point before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanLine:
    """Means and standard deviations (n,) at points ``x`` (n,); NaN between two points that are not joined.

    ``counts`` are how many members the points are over, of ``expected``.
    """

    x: Doubles
    mean: Doubles
    sd: Doubles
    counts: tuple[int, ...]
    expected: int
    broken: bool

    @property
    def is_complete(self) -> bool:
        """Whether every point is over all members."""
        return min(self.counts, default=self.expected) == self.expected

    @property
    def count_text(self) -> str:
        """How many members the points are over: ``4 of 5``, ``2 to 5 of 5``; empty if all are."""
        if self.is_complete:
            return ""
        few, many = min(self.counts), max(self.counts)
        return f"{few} of {self.expected}" if few == many else f"{few} to {many} of {self.expected}"


def mean_line(points: Mapping[float, Mapping[str, float]], expected: Collection[str] = ()) -> MeanLine:
    """Return the line of values by point and member; ``expected`` are members that there should be besides."""
    places = sorted(points)
    every = set(expected).union(*points.values())
    common = set(every).intersection(*points.values())
    shown = {place: set(points[place]) for place in places}
    broken = False
    if len({frozenset(own) for own in shown.values()}) > 1:
        broken = 2 * len(common) < len(every)
        shown = shown if broken else dict.fromkeys(places, common)
    rows: list[tuple[float, float, float]] = []
    for number, place in enumerate(places):
        if number and shown[place] != shown[places[number - 1]]:
            rows.append((place, np.nan, np.nan))
        values = [value for member, value in points[place].items() if member in shown[place]]
        rows.append((place, float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0))
    x, mean, sd = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return MeanLine(x, mean, sd, tuple(len(shown[place]) for place in places), len(every), broken)


def count_note(lines: Collection[MeanLine], members: str) -> str:
    """Return the sentences of a caption that say over which ``members`` lines are, where it is not over all."""
    if all(line.is_complete for line in lines):
        return ""
    note = f" Numbers in the legend: {members} that a line is over, of all."
    if any(not line.is_complete and not line.broken for line in lines):
        note += f" Such a line is over the {members} that all its points have."
    if any(line.broken for line in lines):
        note += f" Lines break where a point is over other {members} than the point before."
    return note
