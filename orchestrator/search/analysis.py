"""What a search has found: its best trials, how it came to them, and which keys mattered.

All of it is plain values, for the terminal, the report and the page alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.rungs import Bracket, brackets
from seedfold.orchestrator.settings.search import SearchSettings


def ranked(settings: SearchSettings, history: Sequence[Trial]) -> list[Trial]:
    """Return the trials of a search by one metric, the best first; those without a value, or that failed, are left out.

    Trials that were trained to their end come first, and others by how long they were trained: a value after fewer
    epochs says less. Of equal ones the earlier is better.
    """
    known = [trial for trial in asked_trials(history) if trial.value is not None and not trial.is_broken]
    return sorted(known, key=lambda trial: (-_length(trial), _loss(settings, trial), trial.number))


def best_trial(settings: SearchSettings, history: Sequence[Trial]) -> Trial | None:
    """Return the best trial; with several metrics the best by the first of them. None before the first value."""
    return next(iter(ranked(settings, history)), None)


def asked_trials(history: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the search itself, in the order in which they were started."""
    return sorted((trial for trial in history if trial.number >= 0), key=lambda trial: trial.number)


def pareto_front(settings: SearchSettings, history: Sequence[Trial]) -> list[Trial]:
    """Return the finished trials that no other one is at least as good as in each metric, and better in one."""
    done = [trial for trial in asked_trials(history) if trial.state == "done" and not trial.is_broken]
    losses = {trial.number: _losses(settings, trial) for trial in done}
    return [
        trial
        for trial in done
        if not any(_dominates(losses[other.number], losses[trial.number]) for other in done if other is not trial)
    ]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def _losses(settings: SearchSettings, trial: Trial) -> tuple[float, ...]:
    """The values of a trial, turned around so that the smaller is the better one."""
    signed = zip(trial.value or (), settings.directions, strict=True)
    return tuple(-value if direction == "maximize" else value for value, direction in signed)


def _loss(settings: SearchSettings, trial: Trial) -> float:
    return _losses(settings, trial)[0]


def _length(trial: Trial) -> float:
    return inf if trial.state == "done" else trial.epochs


@dataclass(frozen=True, slots=True)
class Told:
    """One result: of which trial, after how many epochs, and the best value of all results of whole trainings until it.

    ``best`` is None before the first whole training.
    """

    trial: int
    value: float
    epochs: int
    is_whole: bool
    best: float | None


def optimisation_history(settings: SearchSettings, history: Sequence[Trial]) -> list[Told]:
    """Return the newest results of all trials, by the first metric, in the order in which they were told."""
    known = [one for one in ranked(settings, history) if one.told is not None]
    found: list[Told] = []
    best: float | None = None
    sign = -1.0 if settings.directions[0] == "maximize" else 1.0
    for trial in sorted(known, key=lambda one: one.told or 0):
        loss, whole = _loss(settings, trial), trial.state == "done"
        if whole:
            best = loss if best is None else min(best, loss)
        found.append(Told(trial.number, sign * loss, trial.epochs, whole, None if best is None else sign * best))
    return found


@dataclass(frozen=True, slots=True)
class RungRow:
    """One rung: when it ends (None: with the training), and its trials that reached it, run to it, and went on from it.

    ``best`` is the best value at its end; None before the first.
    """

    bracket: int
    rung: int
    epochs: int
    reached: int
    running: int
    promoted: int
    paused: int
    pruned: int
    best: float | None


def rungs_table(settings: SearchSettings, history: Sequence[Trial]) -> list[RungRow]:
    """Return the rungs of each bracket; empty without halving."""
    return [
        _rung_row(settings, bracket, number, rung)
        for number, bracket in enumerate(brackets(settings, history))
        for rung in range(len(bracket.epochs))
    ]


def _rung_row(settings: SearchSettings, bracket: Bracket, number: int, rung: int) -> RungRow:
    standing = bracket.standing(rung)
    here = Counter(trial.state for trial in standing if trial.rung == rung)
    best = next((trial for trial in standing if not trial.is_broken), None)
    value = best and (best.values.get(bracket.epochs[rung]) or best.value)
    return RungRow(
        bracket=number,
        rung=rung,
        epochs=bracket.epochs[rung],
        reached=len(standing),
        running=sum(trial.state == "running" and trial.rung == rung for trial in bracket.trials),
        promoted=sum(trial.rung > rung for trial in standing),
        paused=here["paused"],
        pruned=here["pruned"],
        best=value[0] if value else None,
    )


def search_summary(settings: SearchSettings, history: Sequence[Trial]) -> dict[str, Any]:
    """Return the JSON form of how far a search is: counts of trials, and the best one.

    ``trials`` have been started, of at most ``of``. With several metrics there is a ``front`` in place of ``best``.
    """
    states = Counter(trial.state for trial in asked_trials(history))
    counts = {state: states[state] for state in ("running", "done", "paused", "pruned", "failed")}
    summary: dict[str, Any] = {"trials": states.total(), "of": settings.trials, **counts}
    if len(settings.directions) > 1:
        return {**summary, "front": [_as_json(trial) for trial in pareto_front(settings, history)]}
    best = best_trial(settings, history)
    return {**summary, "best": None if best is None else _as_json(best)}


def _as_json(trial: Trial) -> dict[str, Any]:
    values: Sequence[float] = trial.value or ()
    value = values[0] if len(values) == 1 else list(values)
    return {"trial": trial.number, "value": value, "params": dict(trial.params)}


@dataclass(frozen=True, slots=True)
class ParallelAxis:
    """A searched key as an axis of a figure, and the places of some of its values, by their texts, from 0 to 1."""

    key: str
    ticks: Mapping[str, float]
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class ParallelCoordinates:
    """The axes, and for each trial its number, its places (n_axes,) from 0 to 1, None where it lacks the key, and its
    value."""

    axes: tuple[ParallelAxis, ...]
    rows: tuple[tuple[int, tuple[float | None, ...], float], ...]


def parallel_coordinates(settings: SearchSettings, history: Sequence[Trial]) -> ParallelCoordinates:
    """Return the points of trials with a value, the best last, so that it is drawn on top of the others."""
    dimensions = list(settings.space.values())
    axes = tuple(ParallelAxis(one.key, one.ticks(), one.log) for one in dimensions)
    rows = [
        (trial.number, tuple(one.place(trial.params.get(one.key)) for one in dimensions), (trial.value or (0.0,))[0])
        for trial in reversed(ranked(settings, history))
    ]
    return ParallelCoordinates(axes, tuple(rows))
