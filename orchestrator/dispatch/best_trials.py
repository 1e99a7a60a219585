"""Launches the best trials of a search again, with more seeds: ``seedfold launch STUDY --best 3 seed=0,1``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.jobs.secret_values import refuse_secrets
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.dispatch.launch import start_plan
from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.search_decisions import PRUNED
from seedfold.orchestrator.ledger.search_launch import SearchLaunch
from seedfold.orchestrator.search.analysis import pareto_front, ranked
from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.trial_jobs import TrialAxes, load_trials
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.state.launch_plan import Plan


def launch_best(root: Root, words: Sequence[str], count: int) -> LaunchResult:
    """Start the jobs of the ``count`` best trials; ``words`` are the study, and overrides such as ``seed=range(0,10)``.

    Raises UsageError for a study that does not search, or of which no trial has a value.
    """
    name, overrides = _study_and_overrides(words)
    folder = root.existing_study(name)
    refuse_copy(folder)
    ledger = Ledger(folder)
    header = ledger.plans.header
    if header is None or SEARCH not in header.settings:
        raise UsageError(f"--best: study {name} does not search; launch it without --best")
    search = StudySearch(JobStates(root, ledger, RetryPolicies.parse(header.settings["failures"])))
    trials = _best(search, count)
    if not trials:
        raise UsageError(f"--best: no trial of {name} has a value yet; see seedfold status {name}")
    launches = [_launch(root, ledger, header.settings[SEARCH], trial, overrides) for trial in trials]
    notes = [f"--best {count}: only {count_noun(len(trials), 'trial')} has a value"] if len(trials) < count else []
    return replace(
        launches[-1],
        jobs=tuple(dict.fromkeys(job for one in launches for job in one.jobs)),
        started=tuple(job for one in launches for job in one.started),
        submissions=tuple(one for launched in launches for one in launched.submissions),
        notes=tuple(dict.fromkeys([*notes, *(note for one in launches for note in one.notes)])),
    )


def _study_and_overrides(words: Sequence[str]) -> tuple[str, list[str]]:
    names = [word for word in words if "=" not in word and not word.startswith("~")]
    if len(names) != 1:
        raise UsageError("--best: name the study of the search: seedfold launch STUDY --best 3 'seed=range(0,10)'")
    return names[0], [word for word in words if word != names[0]]


def _best(search: StudySearch, count: int) -> list[Trial]:
    """The best trials by the only metric; with several metrics, the first ones of the front."""
    settings, history = search.settings, search.history()
    found = ranked(settings, history) if len(settings.directions) == 1 else pareto_front(settings, history)
    return found[:count]


def _launch(root: Root, ledger: Ledger, search: object, trial: Trial, overrides: Sequence[str]) -> LaunchResult:
    plan = _make_plan(root, ledger, search, trial, overrides)
    refuse_secrets(plan.descriptions, plan.study.settings, overrides, os.environ)
    if _let_go_on(plan):
        plan = _make_plan(root, ledger, search, trial, overrides)
    return start_plan(plan, plan.startable_jobs(), overrides, only_adds=True)


def _make_plan(root: Root, ledger: Ledger, search: object, trial: Trial, overrides: Sequence[str]) -> Plan:
    from seedfold.jobs.study import load_study

    launch = SearchLaunch.read(ledger.study)
    axes = TrialAxes(load_trials(ledger.study, launch), SearchSettings.parse(search)).overrides(trial.params)
    points = [*launch.overrides, *axes, *overrides]
    study = load_study(points, config_dirs=launch.config_folders(ledger.study), folder=Path(launch.folder))
    # The study goes on to be one that searches.
    named = replace(study, name=ledger.study.name, settings={**study.settings, SEARCH: search})
    return Plan(root, named)


def _let_go_on(plan: Plan) -> bool:
    """Let jobs train to their end that the search has paused or given up; return whether there were any."""
    paused = [one.job.id for one in plan.jobs if one.state == "paused"]
    given_up = [one.job.id for one in plan.jobs if one.state == "cancelled" and one.job_state.reason == PRUNED]
    record_resumed(plan.folder, plan.ledger, given_up)
    # Those that a worker of the search runs now, or will run, have to go on as well.
    of_search = [one.job.id for one in plan.jobs if one.job.id in plan.ledger.plans.trial_jobs and one.state != "done"]
    if of_search:
        writer = EventWriter(plan.folder.events_folder)
        attempts = {job: plan.ledger.record_of(job).latest_attempt for job in of_search}
        writer.append("promoted", jobs=attempts, to_end=True)
        writer.close()
    return bool(paused or given_up)
