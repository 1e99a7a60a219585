"""The trials of a search as those of an Optuna study in memory, of any Optuna from 2.10 on.

Optuna knows a choice by its number: its suggestions do not depend on what the choices are, and ``1``, ``1.0`` and
``true`` stay three choices.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.settings.search_space import Dimension


@cache
def load_optuna() -> Any:
    """Import Optuna. Raises UsageError if it is not installed."""
    # What Optuna brings with it tells each of its parts to programs that show what is logged, as Hydra does.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        optuna: Any = import_module("optuna")
    except ImportError as error:
        raise UsageError(f"search: needs Optuna ({error}); install it with pip install 'seedfold[search]'") from error
    return optuna


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from reporting each trial, and from warning of functions that older versions called experimental."""
    import warnings

    optuna = load_optuna()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def new_study(settings: SearchSettings, sampler: Any = None) -> Any:
    """Return an Optuna study without trials."""
    return load_optuna().create_study(directions=list(settings.directions), sampler=sampler)


def suggest(trial: Any, dimension: Dimension) -> Any:
    """Ask Optuna's trial for a value of a dimension."""
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.kind == "choice":
        return dimension.choices[trial.suggest_categorical(dimension.key, list(range(len(dimension.choices))))]
    if dimension.kind == "int":
        return trial.suggest_int(dimension.key, low, high, step=int(dimension.step or 1), log=log)
    value = trial.suggest_float(dimension.key, low, high, step=dimension.step, log=log)
    return dimension.stepped(round((value - low) / dimension.step)) if dimension.step else value


def suggest_point(trial: Any, settings: SearchSettings) -> dict[str, Any]:
    """Ask Optuna's trial for all keys of the space that its other values leave it."""
    params: dict[str, Any] = {}
    for key, dimension in settings.space.items():
        if dimension.is_active(params):
            params[key] = suggest(trial, dimension)
    return params


def distribution(dimension: Dimension) -> Any:
    """Return the distribution that Optuna makes of a dimension."""
    module = load_optuna().distributions
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if dimension.kind == "choice":
        return module.CategoricalDistribution(tuple(range(len(dimension.choices))))
    if hasattr(module, "FloatDistribution"):
        if dimension.kind == "int":
            return module.IntDistribution(low, high, log=log, step=int(step or 1))
        return module.FloatDistribution(low, high, log=log, step=step)
    if dimension.kind == "int":
        return module.IntLogUniformDistribution(low, high) if log else module.IntUniformDistribution(low, high, step)
    if step is not None:
        return module.DiscreteUniformDistribution(low, high, step)
    return module.LogUniformDistribution(low, high) if log else module.UniformDistribution(low, high)


def worst_values(settings: SearchSettings, trials: Sequence[Trial]) -> tuple[float, ...] | None:
    """The worst value of each metric among trials that have not failed; None if there are none."""
    values = [trial.value for trial in trials if trial.value is not None and not trial.is_broken]
    if not values:
        return None
    ranges = zip(settings.directions, zip(*values, strict=True), strict=True)
    return tuple(min(column) if direction == "maximize" else max(column) for direction, column in ranges)


class OptunaTrials:
    """Makes the trials of one search as Optuna stores them: thousands of them in each decision of a long search."""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings, self._optuna = settings, load_optuna()
        self._distributions = {key: distribution(dimension) for key, dimension in settings.space.items()}
        self._numbers = {
            key: {canonical_json(choice): number for number, choice in reversed(list(enumerate(dimension.choices)))}
            for key, dimension in settings.space.items()
            if dimension.kind == "choice"
        }

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as Optuna has them, without those that the space does not contain."""
        found: dict[str, Any] = {}
        for key in [key for key in self._settings.space if key in params]:
            value = params[key]
            if key in self._numbers:
                number = self._numbers[key].get(canonical_json(value))
                found |= {} if number is None else {key: number}
            elif self._settings.space[key].contains(value):
                found[key] = value
        return found

    def finished(self, trial: Trial, worst: Sequence[float] | None) -> Any:
        """Return a trial as far as it is known.

        One that has not been trained to its end, and does not run for the first time, is a pruned one to Optuna:
        samplers that can learn from values of shorter trainings do so. One that failed has the values ``worst`` if it
        is told.
        """
        states, settings = self._optuna.trial.TrialState, self._settings
        state, values = states.RUNNING, None
        steps: dict[int, float] = {}
        if trial.is_broken:
            state = states.COMPLETE if settings.failed == "worst" and worst else states.FAIL
            values = list(worst) if state == states.COMPLETE and worst else None
        elif trial.state == "done" and trial.value is not None:
            state, values = states.COMPLETE, list(trial.value)
        elif trial.values or trial.state == "pruned":
            state = states.PRUNED
        if len(settings.directions) == 1 and not trial.is_broken:
            steps = {epochs: value[0] for epochs, value in trial.values.items()}
        return self._make(trial, state, values, steps)

    def running(self, trial: Trial) -> Any:
        """Return a trial while it runs; also one whose value is not a number, which pruners then judge."""
        steps = {epochs: value[0] for epochs, value in trial.values.items()}
        return self._make(trial, self._optuna.trial.TrialState.RUNNING, None, steps)

    def _make(self, trial: Trial, state: Any, values: Sequence[float] | None, steps: Mapping[int, float]) -> Any:
        params = self.params(trial.params)
        distributions = {key: self._distributions[key] for key in params}
        made = self._optuna.trial.create_trial(
            state=state, values=values, params=params, distributions=distributions, intermediate_values=dict(steps)
        )
        made.__class__ = _shared_trial()
        return made


@cache
def _shared_trial() -> Any:
    """The class of Optuna's trials, but a study takes them as they are: nobody changes those of a search afterwards.

    Optuna's own are copied with all that they hold, which takes longer than all else in a decision.
    """

    class SharedTrial(load_optuna().trial.FrozenTrial):  # type: ignore[misc]
        def __deepcopy__(self, memo: object) -> Any:
            return copy.copy(self)

    return SharedTrial
