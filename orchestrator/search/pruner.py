"""Trials that are stopped while they run, because others were better after as many epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.optuna_trials import (
    distribution,
    frozen_trial,
    in_optuna,
    load_optuna,
    new_study,
    worst_values,
)
from seedfold.orchestrator.search.sampler import make_object
from seedfold.orchestrator.settings.search import SearchSettings


def stopped_by_pruner(settings: SearchSettings, history: Sequence[Trial]) -> Iterator[Trial]:
    """Yield the running trials that Optuna's pruner stops, the median pruner unless the settings name another.

    Raises UsageError for a pruner that cannot be made.
    """
    running = [trial for trial in history if trial.state == "running" and trial.values and trial.number >= 0]
    if settings.prune is None or not running:
        return
    optuna = load_optuna()
    given = settings.prune
    pruner = make_object("search.prune", given, settings.seed) if isinstance(given, Mapping) else None
    pruner = pruner or optuna.pruners.MedianPruner()
    study, worst = new_study(settings), worst_values(settings, history)
    for trial in sorted(history, key=lambda one: one.number):
        if trial.state != "running":
            study.add_trial(frozen_trial(settings, trial, worst))
    for trial in sorted(running, key=lambda one: one.number):
        if pruner.prune(study, _running_trial(settings, trial)):
            yield trial


def _running_trial(settings: SearchSettings, trial: Trial) -> object:
    """The trial as Optuna has it while it runs; also one whose value is not a number, which pruners then judge."""
    optuna = load_optuna()
    params = in_optuna(settings, trial.params)
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=params,
        distributions={key: distribution(settings.space[key]) for key in params},
        intermediate_values={epochs: value[0] for epochs, value in trial.values.items()},
    )
