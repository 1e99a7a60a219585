"""The figures of a search, for the report of its study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from seedfold.orchestrator.search.analysis import (
    asked_trials,
    optimisation_history,
    parallel_coordinates,
    pareto_front,
    rungs_table,
)
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.importance import importance
from seedfold.orchestrator.settings.search import SearchSettings

if TYPE_CHECKING:
    from seedfold.results.report.figures import Figure

_FEWEST_POINTS = 2


def search_figures(settings: SearchSettings, history: Sequence[Trial]) -> Iterator[Figure]:
    """Yield what can be drawn of a search: nothing before the second result."""
    from seedfold.results.report import search_figures as figures

    names = settings.metrics or ("the returned value",)
    told = optimisation_history(settings, history)
    if len(told) < _FEWEST_POINTS:
        return
    if len(settings.directions) > 1 and len(settings.metrics) > 1:
        yield from _front(settings, history)
    yield figures.history_figure(names[0], [figures.SearchPoint(one.value, one.is_whole, one.best) for one in told])
    for number, name in enumerate(names):
        shares = importance(settings, history, number)
        if shares:
            yield figures.importance_figure(name, shares)
    places = parallel_coordinates(settings, history)
    if len(places.axes) > 1:
        axes = [(axis.key, axis.ticks) for axis in places.axes]
        yield figures.parallel_figure(names[0], axes, [row for _, row, _ in places.rows])
    if settings.halving is not None:
        yield _rungs(settings, history, names[0])


def _front(settings: SearchSettings, history: Sequence[Trial]) -> Iterator[Figure]:
    from seedfold.results.report.search_figures import front_figure

    front = {trial.number for trial in pareto_front(settings, history)}
    done = [one for one in asked_trials(history) if one.state == "done" and one.value and not one.is_broken]
    if done:
        yield front_figure(settings.metrics, [one.value or () for one in done], [one.number in front for one in done])


def _rungs(settings: SearchSettings, history: Sequence[Trial], metric: str) -> Figure:
    from seedfold.results.report.search_figures import rungs_figure

    assert settings.halving is not None
    reached: dict[int, int] = {}
    for row in sorted(rungs_table(settings, history), key=lambda row: row.epochs):
        reached[row.epochs] = reached.get(row.epochs, 0) + row.reached
    trials = [
        ({epochs: value[0] for epochs, value in one.values.items() if epochs > 0}, one.state == "done")
        for one in asked_trials(history)
        if not one.is_broken
    ]
    return rungs_figure(metric, settings.halving.resource, [one for one in trials if one[0]], reached)
