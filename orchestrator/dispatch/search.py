"""Launches and resumes a search: its trials are planned one after the other, by whoever has a free slot.

The workers of a search have no jobs of their own. On this machine it is one worker; on a cluster, one array of as many
tasks as jobs may run at a time. Each takes any open job of the search, and decides what is tried next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.code.snapshots import take_snapshot
from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
from seedfold.orchestrator.dispatch.submit import LaunchResult, check_with_scheduler
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.search_config import keep_config
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB, SearchDecisions
from seedfold.orchestrator.ledger.search_launch import SearchLaunch, has_launch
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.turns import next_turn, take_turn
from seedfold.orchestrator.schedulers.local import start_worker
from seedfold.orchestrator.search.decide import next_decision
from seedfold.orchestrator.search.study_search import StudySearch
from seedfold.orchestrator.search.trial_jobs import TrialAxes, digest_of, jobs_of_trial
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.settings.site import site_overrides
from seedfold.orchestrator.state.launch_plan import Plan

if TYPE_CHECKING:
    from seedfold.jobs.study import Study
    from seedfold.orchestrator.schedulers.advance_round import AdvanceResult


def search_settings(plan: Plan) -> SearchSettings:
    """The settings of the search of a plan. Raises UsageError for what does not fit the study."""
    stages = plan.study.stages
    axes = dict.fromkeys(axis for stage in stages for axis in stage.axes)
    settings = SearchSettings.parse(plan.study.settings[SEARCH]).with_axes(axes)
    searched = searched_stages(plan.study, settings)
    _refuse_stage(settings, searched, [stage.name for stage in stages])
    ranked = searched if settings.stage is None else [settings.stage]
    _refuse_other_length(settings, [job for job in plan.descriptions if job.stage in ranked])
    if ClusterSettings.parse(plan.study.settings["cluster"]).scheduler is not None:
        _refuse_other_extra(plan.descriptions)
    return settings


def searched_stages(study: Study, settings: SearchSettings) -> list[str]:
    """The stages that each trial has jobs of its own of. Raises UsageError for a key that no stage reads."""
    found = {name for names in TrialAxes(study, settings).stages.values() for name in names}
    return [stage.name for stage in study.stages if stage.name in found]


def _refuse_stage(settings: SearchSettings, searched: Sequence[str], known: Sequence[str]) -> None:
    """Raise UsageError if ``search.stage`` is not one whose jobs say something of a trial, or is missing."""
    stage, names = settings.stage, ", ".join(searched)
    if stage is not None and stage not in known:
        raise UsageError(f"search.stage: no stage {stage}{did_you_mean(stage, known)}; stages: {', '.join(known)}")
    if stage is not None and stage not in searched:
        raise UsageError(f"search.stage: {stage} does not depend on the searched keys; name one that does: {names}")
    key = "halving" if settings.halving is not None else "prune" if settings.prune is not None else ""
    if key and stage is None and len(searched) > 1:
        raise UsageError(
            f"search.{key}: trials have several stages; say which one is trained with search.stage: {names}"
        )


def _refuse_other_length(settings: SearchSettings, jobs: Sequence[JobDescription]) -> None:
    """Raise UsageError if the last rung is not the whole training: the schedule is that of the whole training."""
    halving = settings.halving
    if halving is None or halving.resource != "epochs" or "trainer.max_epochs" in settings.space:
        return
    for job in jobs:
        epochs = (job.config.get("trainer") or {}).get("max_epochs")
        if isinstance(epochs, int) and epochs != halving.max:
            raise UsageError(
                f"search.halving.max: {halving.max}, but trainer.max_epochs is {epochs}; give both the same number of"
                " epochs"
            )


def _refuse_other_extra(jobs: Sequence[JobDescription]) -> None:
    """Raise UsageError if stages ask the scheduler for other things: a task of a search runs jobs of all of them."""
    by_stage = {job.stage: job.resources.extra for job in jobs}
    first = next(iter(by_stage), "")
    for stage, extra in by_stage.items():
        if extra != by_stage[first]:
            raise UsageError(
                f"resources.extra: stage {stage} has another one than {first}, but each task of a search runs jobs of"
                " all stages; give both the same"
            )


def launch_search(
    plan: Plan, overrides: Sequence[str], config_dirs: Sequence[Path], replace: bool = False
) -> LaunchResult:
    """Start the search of a study, or let it go on with the settings that it has now.

    Raises UsageError, unless ``replace``, if trials would now be other jobs than those that it has.
    """
    search_settings(plan)
    root, folder = plan.root, plan.folder
    check_with_scheduler(plan.ledger, plan.jobs, plan.study.settings)
    root.mark_as_root()
    has_snapshot = ClusterSettings.parse(plan.study.settings["cluster"]).snapshot
    launch = SearchLaunch(
        overrides=(*site_overrides(overrides), *overrides),
        config_dirs=keep_config(folder, config_dirs),
        folder=str(Path.cwd()),
        digest=digest_of([dataclasses.replace(job, study=folder.name) for job in plan.descriptions]),
        snapshot=take_snapshot(folder, plan.descriptions, Path.cwd()) if has_snapshot else None,
    )
    if not replace:
        _refuse_change(plan, launch)
    _compose_first(plan)
    launch.write(folder)
    header = PlanHeader.create(overrides, config_dirs, plan.study.settings, Path.cwd())
    before = plan.ledger.plans.header
    if before is None or before.settings != header.settings:
        write_plan(folder, header, ())
    ledger = Ledger(folder)
    if ledger.record_of(SEARCH_JOB).failures():
        # The scheduler may take it with other settings.
        record_resumed(folder, ledger, [SEARCH_JOB])
    return go_on(root, folder)


def _refuse_change(plan: Plan, launch: SearchLaunch) -> None:
    """Raise UsageError if the trials of the last launch would not be comparable with those that come."""
    trials = len({decision.trial for decision in SearchDecisions(plan.folder).records})
    if trials and has_launch(plan.folder) and SearchLaunch.read(plan.folder).digest != launch.digest:
        raise UsageError(
            f"study {plan.folder.name} has changed since {count_noun(trials, 'trial')} of its search began, so that"
            " trials would not be comparable; use another name for the study with study=NAME, or --replace to go on"
        )


def _compose_first(plan: Plan) -> None:
    """Raise UsageError, before anything is written, if not even the first trial can be composed."""
    settings = search_settings(plan)
    first = next_decision(settings, ())
    if first is not None:
        jobs_of_trial(plan.folder, plan.study, TrialAxes(plan.study, settings).overrides(first.params))


def go_on(root: Root, study: StudyFolder) -> LaunchResult:
    """Start what works on a search, unless it is at work or over. Raises UsageError if no first trial can be made."""
    from seedfold.orchestrator.settings.failures import RetryPolicies
    from seedfold.orchestrator.state.job_states import JobStates

    ledger = Ledger(study)
    header = ledger.plans.header
    assert header is not None
    search = StudySearch(JobStates(root, ledger, RetryPolicies.parse(header.settings["failures"])))
    # The first trials are all decided here, so that no slot waits until their workers have imported a sampler.
    while search.step():
        search.states.refresh()
    submissions, advanced = _start_workers(root, ledger) if not search.is_over() else ((), None)
    return LaunchResult(
        study=study,
        jobs=tuple(ledger.plans.trial_jobs),
        started=(),
        submissions=submissions,
        advance_result=advanced,
        notes=tuple(search.states.passed_over_lines()),
        is_search=True,
    )


def _start_workers(root: Root, ledger: Ledger) -> tuple[tuple[Submission, ...], AdvanceResult | None]:
    """Start what works on a search, and return what was submitted for it now."""
    header = ledger.plans.header
    assert header is not None
    if ClusterSettings.parse(header.settings["cluster"]).scheduler is None:
        submission = _start_worker(ledger)
        return (() if submission is None else (submission,)), None
    from seedfold.orchestrator.schedulers.advance import advance

    before = {one.token for one in ledger.live_submissions}
    advanced = advance(root, ledger.study, ledger)
    ledger.refresh()
    return tuple(one for one in ledger.live_submissions if one.token not in before), advanced


def _start_worker(ledger: Ledger) -> Submission | None:
    """Start a worker on this machine; None if one is alive."""
    study, header = ledger.study, ledger.plans.header
    assert header is not None
    while True:
        turn = next_turn(study)
        ledger.refresh()
        if SEARCH_JOB in ledger.open_submission_of:
            return None
        token = Submission.new_token()
        if take_turn(study, turn, [token]):
            break
    launch = SearchLaunch.read(study)
    settings = {key: header.settings[key] for key in ("cluster", "failures")}
    submission = Submission.create(
        study, [SEARCH_JOB], settings, Path(launch.folder), token=token, snapshot=launch.snapshot
    )
    start_worker(submission)
    return submission
