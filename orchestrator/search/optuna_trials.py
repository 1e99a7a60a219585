"""The trials of a search as those of an Optuna study in memory, of any Optuna from 2.10 on.

Optuna knows a choice by its number: its suggestions do not depend on what the choices are, and ``1``, ``1.0`` and
``true`` stay three choices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.settings.search_space import Dimension


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


def in_optuna(settings: SearchSettings, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as Optuna has them, without those that the space does not contain."""
    return {
        key: _number_of(dimension, params[key]) if dimension.kind == "choice" else params[key]
        for key, dimension in settings.space.items()
        if key in params and dimension.contains(params[key])
    }


def _number_of(dimension: Dimension, value: Any) -> int:
    return [canonical_json(choice) for choice in dimension.choices].index(canonical_json(value))


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


def frozen_trial(settings: SearchSettings, trial: Trial, worst: Sequence[float] | None) -> Any:
    """Return a trial as Optuna stores it.

    One that has not been trained to its end, and does not run for the first time, is a pruned one to Optuna: samplers
    that can learn from values of shorter trainings do so. One that failed has the values ``worst`` if it is told.
    """
    optuna = load_optuna()
    states = optuna.trial.TrialState
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
    params = in_optuna(settings, trial.params)
    return optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions={key: distribution(settings.space[key]) for key in params},
        intermediate_values=steps,
    )
