"""What a search does next: start a trial, train a paused one for longer, or give one up.

A decision follows from the settings and the history alone, so that everybody who asks at the same moment gets the same
answer, and a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.pruner import stopped_by_pruner
from seedfold.orchestrator.search.rungs import bracket_of, brackets, rung_epochs
from seedfold.orchestrator.search.sampler import next_params
from seedfold.orchestrator.settings.search import SearchSettings

DecisionKind = Literal["start", "promote", "prune", "retry"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One step of a search.

    ``start`` begins a trial, ``promote`` lets a paused one go on, ``retry`` tries a failed one again; each is trained
    until it has seen ``epochs`` epochs (None: to the end). ``prune`` gives up a trial: one that runs is asked to stop,
    and the checkpoints of one that is paused are no longer needed.
    """

    kind: DecisionKind
    trial: int
    params: Mapping[str, Any]
    rung: int = 0
    epochs: int | None = None


def next_decision(settings: SearchSettings, history: Sequence[Trial]) -> Decision | None:
    """Return the next step of a search; None if nothing is to be done before another result is there.

    While ``parallel`` trials run, trials are only given up. Raises UsageError if Optuna is missing, and for a sampler
    or a pruner that cannot be made.
    """
    given_up = _give_up(settings, history)
    if given_up is not None:
        return given_up
    asked = [trial for trial in history if trial.number >= 0]
    if sum(trial.state == "running" for trial in asked) >= settings.parallel:
        return None
    return _retry(settings, asked) or _promote(settings, asked) or _start(settings, history, len(asked))


def is_over(settings: SearchSettings, history: Sequence[Trial]) -> bool:
    """Whether no trial runs and none will be started, promoted or given up any more."""
    return all(trial.state != "running" for trial in history) and next_decision(settings, history) is None


def _give_up(settings: SearchSettings, history: Sequence[Trial]) -> Decision | None:
    for trial in stopped_by_pruner(settings, history):
        return Decision("prune", trial.number, trial.params, trial.rung, trial.epochs)
    for bracket in brackets(settings, history):
        for trial in bracket.hopeless():
            return Decision("prune", trial.number, trial.params, trial.rung, bracket.epochs[trial.rung])
    return None


def _retry(settings: SearchSettings, asked: Sequence[Trial]) -> Decision | None:
    trial = next((trial for trial in asked if trial.may_be_retried(settings)), None)
    return _train("retry", settings, trial.number, trial.params, trial.rung) if trial else None


def _promote(settings: SearchSettings, asked: Sequence[Trial]) -> Decision | None:
    """Promote the trial that has been trained longest of those that are promotable."""
    found = [(trial, bracket.epochs) for bracket in brackets(settings, asked) for trial in bracket.promotable()]
    if not found:
        return None
    trial, _ = max(found, key=lambda one: one[1][one[0].rung])
    return _train("promote", settings, trial.number, trial.params, trial.rung + 1)


def _start(settings: SearchSettings, history: Sequence[Trial], number: int) -> Decision | None:
    params = next_params(settings, history) if number < settings.trials else None
    return None if params is None else _train("start", settings, number, params, 0)


def _train(kind: DecisionKind, settings: SearchSettings, number: int, params: Mapping[str, Any], rung: int) -> Decision:
    """Train a trial to the end of a rung; the last one is the whole training."""
    if settings.halving is None:
        return Decision(kind, number, params)
    epochs = rung_epochs(settings.halving, bracket_of(settings, number))
    return Decision(kind, number, params, rung, epochs[rung] if rung < len(epochs) - 1 else None)
