"""Trials that are stopped while they run, because others were better after as many epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.optuna_trials import OptunaTrials, new_study, quiet_optuna, worst_values
from seedfold.orchestrator.search.sampler import make_object
from seedfold.orchestrator.settings.search import SearchSettings


def stopped_by_pruner(settings: SearchSettings, history: Sequence[Trial]) -> list[Trial]:
    """Return the running trials that Optuna's pruner stops, the median pruner unless the settings name another.

    Raises UsageError for a pruner that cannot be made.
    """
    trials = sorted(history, key=lambda one: one.number)
    running = [trial for trial in trials if trial.state == "running" and trial.values and trial.number >= 0]
    if settings.prune is None or not running:
        return []
    with quiet_optuna():
        given, study, worst = settings.prune, new_study(settings), worst_values(settings, trials)
        median = {"_target_": "optuna.pruners.MedianPruner"}
        pruner = make_object("search.prune", given if isinstance(given, Mapping) else median, settings.seed)
        made = OptunaTrials(settings)
        for trial in trials:
            if trial.state != "running":
                study.add_trial(made.finished(trial, worst))
        return [trial for trial in running if pruner.prune(study, made.running(trial))]
