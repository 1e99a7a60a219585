"""The next point that a search tries.

The sampler is one of Optuna's, made anew for each trial: its random numbers are seeded with the seed of the search and
the number of the trial, and it learns from the history alone. So whoever asks with the same history gets the same
point, and no state of a sampler is kept anywhere. A sampler that remembers more than values (CMA-ES its generations) is
asked for all earlier trials again, in the order in which they were started and their results were told.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.optuna_trials import (
    OptunaTrials,
    load_optuna,
    new_study,
    quiet_optuna,
    suggest_point,
    worst_values,
)
from seedfold.orchestrator.settings.search import SearchSettings

_MOST_SUGGESTIONS = 50
"""How often the sampler is asked for another point when ``only`` forbids the last one, or it was tried before."""
_MOST_DRAWS = 5000
"""How many random points are drawn after that, if points cannot be listed, before the space is taken for used up."""
_MOST_LISTED = 100_000
"""How many points are listed at most."""


def next_params(settings: SearchSettings, history: Sequence[Trial]) -> dict[str, Any] | None:
    """Return the parameters of the next trial; None if every point of the space that was found has been tried.

    ``history`` may be in any order. Raises UsageError for a sampler that cannot be made, and if not even a first point
    was found.
    """
    params = _find_params(settings, history)
    if params is None and all(trial.number < 0 for trial in history):
        raise UsageError("search.only: leaves no point of the space; make it less strict")
    return params


def _find_params(settings: SearchSettings, history: Sequence[Trial]) -> dict[str, Any] | None:
    trials = sorted(history, key=lambda trial: trial.number)
    asked = [trial for trial in trials if trial.number >= 0]
    number = len(asked)
    tried = {canonical_json(trial.params) for trial in asked}
    if settings.sampler == "grid":
        return _untried(settings, _given(settings, number), tried)
    learned = () if settings.sampler == "random" else trials
    with quiet_optuna():
        study = _replayed(settings, trials) if _remembers(settings) else _told(settings, learned)
        study.sampler = make_sampler(settings, number)
        return _new_point(study, settings, number, tried)[1]


def trial_seed(settings: SearchSettings, number: int) -> int:
    """The seed of the random numbers of one trial."""
    return int.from_bytes(hashlib.sha256(f"{settings.seed}/{number}".encode()).digest()[:4], "big")


def make_sampler(settings: SearchSettings, number: int) -> Any:
    """Return Optuna's sampler for one trial. Raises UsageError if this Optuna lacks it, or its settings are wrong."""
    optuna, seed = load_optuna(), trial_seed(settings, number)
    if isinstance(settings.sampler, Mapping):
        return make_object("search.sampler", settings.sampler, seed)
    if settings.sampler == "gp" and not hasattr(optuna.samplers, "GPSampler"):
        raise UsageError(f"search.sampler: gp needs Optuna 3.6 or newer, and this is {optuna.__version__}; write tpe")
    if settings.sampler == "tpe":
        # Trials that run count as bad ones, so that those beside them are asked for elsewhere.
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if settings.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return getattr(optuna.samplers, "GPSampler" if settings.sampler == "gp" else "RandomSampler")(seed=seed)


def make_object(place: str, given: Mapping[str, Any], seed: int) -> Any:
    """Return what ``_target_`` names, and what it takes, each seeded. Raises UsageError, which names ``place``."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    try:
        return instantiate(_with_seeds(given, seed))
    except (HydraException, ImportError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UsageError(f"{place}: {given['_target_']} cannot be made: {reason}") from error


def _with_seeds(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    from hydra.utils import get_object

    inner = {key: _with_seeds(entry, seed) if isinstance(entry, Mapping) else entry for key, entry in given.items()}
    if isinstance(given.get("_target_"), str) and "seed" not in given:
        target = get_object(str(given["_target_"]))
        inner |= {"seed": seed} if "seed" in inspect.signature(target).parameters else {}
    return inner


def _remembers(settings: SearchSettings) -> bool:
    return settings.sampler == "cmaes" or isinstance(settings.sampler, Mapping)


def _told(settings: SearchSettings, trials: Sequence[Trial]) -> Any:
    """A study with all trials as they are."""
    study, worst, made = new_study(settings), worst_values(settings, trials), OptunaTrials(settings)
    for trial in trials:
        study.add_trial(made.finished(trial, worst))
    return study


def _replayed(settings: SearchSettings, trials: Sequence[Trial]) -> Any:
    """A study that was asked for each trial when it was started, knowing what was known then."""
    study, made = new_study(settings), OptunaTrials(settings)
    running: list[tuple[Trial, Any]] = []
    tried: set[str] = set()
    for trial in trials:
        if trial.number >= 0:
            _tell_finished(study, settings, running, trials, trial.known)
            study.sampler = make_sampler(settings, trial.number)
            asked, params = _new_point(study, settings, trial.number, tried)
            tried.add(canonical_json(trial.params))
            if params == dict(trial.params):
                running.append((trial, asked))
                continue
            # Another version of Optuna asked for it: its values count, and not what that sampler remembered.
            if params is not None:
                study.tell(asked, state=load_optuna().trial.TrialState.FAIL)
        study.add_trial(made.finished(trial, worst_values(settings, trials)))
    _tell_finished(study, settings, running, trials, None)
    for trial, asked in running:
        _tell(study, asked, made.finished(trial, None))
    return study


def _tell_finished(
    study: Any, settings: SearchSettings, running: list[tuple[Trial, Any]], trials: Sequence[Trial], known: int | None
) -> None:
    """Tell what came of the trials that have ended before result number ``known`` (None: of all), in their order."""
    ended = [(told, trial, asked) for trial, asked in running if (told := _end(trial)) is not None]
    for told, trial, asked in sorted(ended, key=lambda one: one[0]):
        if known is not None and told >= known:
            break
        earlier = [other for other in trials if (end := _end(other)) is not None and end < told]
        _tell(study, asked, OptunaTrials(settings).finished(trial, worst_values(settings, earlier)))
        running.remove((trial, asked))


def _end(trial: Trial) -> int | None:
    """The number of the result with which a trial has ended; None if it has not, or may still be trained for longer."""
    return trial.told if trial.is_broken or trial.state == "done" else None


def _tell(study: Any, asked: Any, frozen: Any) -> None:
    """Tell the study of a trial that it was asked for what came of it."""
    states = load_optuna().trial.TrialState
    if frozen.state == states.RUNNING:
        return
    for epochs, value in frozen.intermediate_values.items():
        asked.report(value, epochs)
    study.tell(asked, frozen.values if frozen.state == states.COMPLETE else None, state=frozen.state)


def _new_point(study: Any, settings: SearchSettings, number: int, tried: set[str]) -> tuple[Any, dict[str, Any] | None]:
    """Ask the study for a point that is allowed and new. Return its trial as well, which is told nothing yet."""
    given = _given(settings, number)
    can_list = _can_list(settings)
    for attempt in range(_MOST_SUGGESTIONS + (1 if can_list else _MOST_DRAWS)):
        fixed: Mapping[str, Any] | None = given
        if attempt == _MOST_SUGGESTIONS and can_list:
            fixed = _untried(settings, given, tried)
        elif attempt == _MOST_SUGGESTIONS:
            study.sampler = load_optuna().samplers.RandomSampler(seed=trial_seed(settings, number))
        if fixed is None:
            break
        if fixed:
            study.enqueue_trial(OptunaTrials(settings).params(fixed))
        asked = study.ask()
        params = suggest_point(asked, settings)
        if given or (settings.allows(params) and canonical_json(params) not in tried):
            return asked, params
        study.tell(asked, state=load_optuna().trial.TrialState.FAIL)
    return None, None


def _given(settings: SearchSettings, number: int) -> Mapping[str, Any]:
    """The values that the study fixes for a trial."""
    return settings.first[number] if number < len(settings.first) else {}


def _can_list(settings: SearchSettings) -> bool:
    dimensions = settings.space.values()
    return all(one.is_listed for one in dimensions) and prod(one.count for one in dimensions) <= _MOST_LISTED


def _untried(settings: SearchSettings, given: Mapping[str, Any], tried: set[str]) -> dict[str, Any] | None:
    return next((point for point in _grid(settings, given) if canonical_json(point) not in tried), None)


def _grid(settings: SearchSettings, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The points of the grid that have the values ``given``, each once, in an order that the seed gives."""
    import numpy as np

    columns = [dimension.grid() or () for dimension in settings.space.values()]
    rows = list(product(*columns))
    seen = set()
    for position in np.random.RandomState(settings.seed).permutation(len(rows)):
        point: dict[str, Any] = {}
        for (key, dimension), value in zip(settings.space.items(), rows[position], strict=True):
            if dimension.is_active(point):
                point[key] = value
        text = canonical_json(point)
        if text not in seen and settings.allows(point) and given.items() <= point.items():
            seen.add(text)
            yield point
