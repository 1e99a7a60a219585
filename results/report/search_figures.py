"""The report's figures of a search: how it went, what it found, which keys mattered, and which trials went on.

They take plain values. Points and lines in the second colour are what is best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seedfold.results.evaluation.axes import last_component
from seedfold.results.report import plots
from seedfold.results.report.figures import Figure, LegendEntry, figure_id, to_readable
from seedfold.results.tables.number_text import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_KEYS = 12


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """The newest value of a trial, and the best value of a whole training until then (None: there was none).

    ``is_whole`` says whether the trial was trained to its end.
    """

    value: float
    is_whole: bool
    best: float | None


def history_figure(metric: str, points: Sequence[SearchPoint]) -> Figure:
    """Return the values of trials in the order in which they came, and the best value so far."""
    title = f"Search for {to_readable(metric)}: its trials"

    def plot(axes: Axes) -> None:
        for whole in (False, True):
            at = [number for number, point in enumerate(points, 1) if point.is_whole == whole]
            values = [points[number - 1].value for number in at]
            axes.plot(at, values, "o", color=plots.FIRST_COLOUR, markersize=3, alpha=0.7 if whole else 0.25)
        best = [np.nan if point.best is None else point.best for point in points]
        axes.step(range(1, len(points) + 1), best, where="post", color=plots.SECOND_COLOUR)
        axes.set(xlabel="results, in their order", ylabel=to_readable(metric))

    stopped = sum(not point.is_whole for point in points)
    legend = [_entry(0, "trained to the end" if stopped else "trials", str(len(points) - stopped))]
    legend += [_entry(0, "not trained to the end (pale)", str(stopped))] if stopped else []
    last = points[-1].best if points else None
    legend += [_entry(1, "best so far", format_number(last))] if last is not None else []
    return Figure(title, plots.draw_inline(figure_id(title), plot), "A dot is the newest value of a trial.", legend)


def importance_figure(metric: str, shares: Mapping[str, float]) -> Figure:
    """Return the importance of each searched key, as a share of all of them; the largest first."""
    title = f"What mattered for {to_readable(metric)}"
    shown = list(shares.items())[:_MOST_KEYS]

    def plot(axes: Axes) -> None:
        axes.barh(range(len(shown)), [share for _, share in shown], color=plots.FIRST_COLOUR, alpha=0.7, height=0.6)
        axes.set_yticks(range(len(shown)), [to_readable(last_component(key)) for key, _ in shown])
        axes.set(xlabel="share of the importance", ylim=(len(shown) - 0.4, -0.6), xlim=(0, 1))
        axes.grid(visible=False, axis="y")

    caption = (
        "How much worse a random forest predicts the order of the trials when the values of one key are shuffled, as a"
        " share of all keys. It says nothing about values that were not tried."
    )
    return Figure(title, plots.draw_inline(figure_id(title), plot), caption)


def parallel_figure(
    metric: str,
    axes_ticks: Sequence[tuple[str, Mapping[str, float]]],
    rows: Sequence[Sequence[float | None]],
) -> Figure:
    """Return the points of trials as lines through all keys.

    ``axes_ticks`` are the keys with the places of some of their values, by their texts. ``rows`` are places (n_keys,)
    from 0 to 1, None where a trial lacks the key, the best trial last.
    """
    title = f"Points of the search for {to_readable(metric)}"
    names = [to_readable(last_component(key)) for key, _ in axes_ticks]

    def plot(axes: Axes) -> None:
        for rank, row in enumerate(rows):
            places = np.array([np.nan if place is None else place for place in row])
            best = rank == len(rows) - 1
            colour = plots.SECOND_COLOUR if best else plots.FIRST_COLOUR
            alpha = 1.0 if best else 0.06 + 0.5 * (rank / len(rows)) ** 3
            # A trial without the key next to one that it has is a point, because a line needs two.
            axes.plot(range(len(row)), places, "-o", color=colour, alpha=alpha, markersize=2.5, linewidth=1.2)
        for place, (_, ticks) in enumerate(axes_ticks):
            axes.axvline(place, color=plots.GRID_COLOUR, linewidth=1, zorder=0)
            for text, height in ticks.items():
                axes.annotate(text, (place, height), (3, 2), textcoords="offset points", fontsize=7)
        slanted = sum(map(len, names)) > 44
        axes.set_xticks(range(len(names)), names, rotation=20 if slanted else 0, ha="right" if slanted else "center")
        axes.set(yticks=[], ylim=(-0.05, 1.1), xlim=(-0.1, len(names) - 0.75))
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.grid(visible=False)

    caption = "A line is a trial: the stronger, the better. A line breaks at a key that the trial does not have."
    legend = [_entry(0, "trials", str(len(rows))), _entry(1, "the best one", "")]
    return Figure(title, plots.draw_inline(figure_id(title), plot), caption, legend)


def rungs_figure(
    metric: str,
    resource: str,
    trials: Sequence[tuple[Mapping[int, float], bool]],
    reached: Mapping[int, int],
) -> Figure:
    """Return the values of each trial at the ends of its rungs.

    ``trials`` are their values by epochs, and whether they were trained to their end; ``reached`` says how many trials
    reached the end of each rung.
    """
    title = f"Rungs of the search for {to_readable(metric)}"

    def plot(axes: Axes) -> None:
        for values, whole in sorted(trials, key=lambda trial: trial[1]):
            at = sorted(values)
            colour = plots.SECOND_COLOUR if whole else plots.FIRST_COLOUR
            heights = [values[epochs] for epochs in at]
            axes.plot(at, heights, "-o", color=colour, alpha=0.8 if whole else 0.25, markersize=3, linewidth=1.2)
        axes.set(xscale="log", ylabel=to_readable(metric), xlabel=f"{resource}, and how many trials reached them")
        axes.set_xticks(list(reached), [f"{epochs}\n{count}" for epochs, count in reached.items()])
        axes.minorticks_off()

    whole = sum(done for _, done in trials)
    legend = [_entry(1, "trained to the end", str(whole)), _entry(0, "stopped, or paused", str(len(trials) - whole))]
    caption = f"A trial goes on while it is among the best of those that were trained for as many {resource}."
    return Figure(title, plots.draw_inline(figure_id(title), plot), caption, legend)


def front_figure(metrics: Sequence[str], values: Sequence[Sequence[float]], on_front: Sequence[bool]) -> Figure:
    """Return the first two metrics of finished trials, and those that no other trial beats in all metrics."""
    names = [to_readable(name) for name in metrics]
    title = f"Trade-off between {names[0]} and {names[1]}"

    def plot(axes: Axes) -> None:
        for best in (False, True):
            own = [row for row, front in zip(values, on_front, strict=True) if front == best]
            colour = plots.SECOND_COLOUR if best else plots.FIRST_COLOUR
            axes.plot([row[0] for row in own], [row[1] for row in own], "o", color=colour, markersize=3.5, alpha=0.8)
        axes.set(xlabel=names[0], ylabel=names[1])

    legend = [_entry(0, "trials", str(len(values))), _entry(1, "on the front", str(sum(on_front)))]
    caption = "No trial is better than one on the front in one metric without being worse in another."
    return Figure(title, plots.draw_inline(figure_id(title), plot), caption, legend)


def _entry(series: int, label: str, value: str) -> LegendEntry:
    return LegendEntry(series, label, "", None, value)
