"""Resuming a study: jobs that are neither done nor queued nor running start again, from their checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.secret_values import refuse_secrets
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.code.comparison import CodeComparison
from seedfold.orchestrator.dispatch.code_changes import accept_code, code_notes, split_mixed
from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
from seedfold.orchestrator.dispatch.submit import (
    LaunchResult,
    check_with_scheduler,
    choose_snapshots,
    count_taken,
    submit_jobs,
    submitted_jobs,
)
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.search_decisions import PRUNED, SEARCH_JOB
from seedfold.orchestrator.ledger.search_launch import SearchLaunch
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import FAILURE_KINDS, RetryPolicies
from seedfold.orchestrator.settings.selection import Selection, TellSelected
from seedfold.orchestrator.settings.volatile_overrides import apply_volatile_overrides
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobStates
from seedfold.orchestrator.state.launch_plan import PlannedJob
from seedfold.orchestrator.state.learned_resources import UsageHistory
from seedfold.orchestrator.state.reused_outputs import copy_reused_outputs
from seedfold.orchestrator.state.stale_lines import OPTIONS, WaysOn
from seedfold.orchestrator.state.staleness import StalenessChecker, compare_code

STOPPED_STATES = frozenset({"failed", "cancelled"})
"""States that only a person can change."""


def resume(
    root: Root,
    name: str,
    overrides: Sequence[str] = (),
    *,
    selection: Selection | None = None,
    kinds: Sequence[str] = (),
    keep_cancelled: bool = False,
    original_code: bool = False,
    folder: Path | None = None,
    accept: bool = False,
    choose: Callable[[Sequence[PlannedJob]], list[PlannedJob]] | None = None,
    tell: TellSelected | None = None,
) -> LaunchResult:
    """Start the jobs that are neither done nor queued nor running, from their checkpoints.

    Failed and cancelled jobs are started too; cancelled ones are not with ``keep_cancelled``.

    ``overrides`` may change volatile keys, such as ``resources.memory=80GB``; ``kinds`` selects jobs with failures of
    these kinds; with ``original_code`` each job runs the code of its last submission instead of today's code, which is
    in ``folder``, by default the folder of the last launch. ``accept`` first records that the code of today computes
    the same as that of done jobs. ``choose`` picks the jobs to start in place of all that. ``tell`` is told the jobs
    before they are started. Raises UsageError for an unknown kind, for an override that would change ids, and for code
    of which there is no snapshot.
    """
    _check_kinds(kinds)
    study = root.existing_study(name)
    refuse_copy(study)
    ledger = Ledger(study)
    advance_study(root, ledger)
    today = _Today.read(root, ledger, overrides, folder)
    if selection is not None:
        selection.check_names(today.jobs)
    comparison, judged = today.compare_code()
    if accept:
        accept_code(study, comparison, _select(judged, selection))
        comparison, judged = today.compare_code()
    planned = [one for one in judged if not is_import(one.job)]
    if choose is not None:
        starting = choose(planned)
    else:
        is_left_on_hold = today.states.is_left_on_hold
        starting = _select(_jobs_to_resume(planned, kinds, keep_cancelled, is_left_on_hold), selection)
    starting, mixed = split_mixed(comparison, today.states, judged, starting)
    if tell is not None:
        tell([one.job for one in starting])
    check_with_scheduler(ledger, starting, today.settings)
    if SEARCH in today.settings and choose is None:
        return _resume_search(root, ledger, starting, today.header(overrides))
    code = choose_snapshots(study, ledger, starting, today.settings, today.code_folder, original_code)
    result = _start(root, today, starting, code, overrides)
    ways_on = WaysOn(f"seedfold rerun {name} --stale", OPTIONS.accept)
    notes = code_notes(comparison, judged, starting, len(mixed), ways_on)
    # What a search does beside that has its own end.
    jobs = [job.id for job in result.started] if SEARCH in today.settings else [one.job.id for one in planned]
    return replace(result, jobs=tuple(jobs), notes=(*notes, *today.states.passed_over_lines()))


@dataclass(frozen=True)
class _Today:
    """The jobs of a study as they would be started now: with ``settings``, and with the code in ``code_folder``.

    ``is_changed`` says whether they differ from those of the last plan.
    """

    ledger: Ledger
    states: JobStates
    jobs: Sequence[JobDescription]
    settings: Mapping[str, Any]
    code_folder: Path
    is_changed: bool

    @classmethod
    def read(cls, root: Root, ledger: Ledger, overrides: Sequence[str], folder: Path | None) -> _Today:
        """Read them from the ledger. Raises UsageError for an override that would change ids, or holds a secret."""
        header = ledger.plans.header
        assert header is not None
        code_folder = folder or Path(header.folder)
        planned, settings = apply_volatile_overrides(
            list(ledger.plans.current_jobs.values()), header.settings, overrides
        )
        refuse_secrets(planned, settings, overrides, os.environ)
        ClusterSettings.parse(settings["cluster"])
        states = JobStates(root, ledger, RetryPolicies.parse(settings["failures"]))
        jobs = UsageHistory(states).with_learned_resources(planned)
        is_changed = bool(overrides) or code_folder != Path(header.folder) or jobs != planned
        return cls(ledger, states, jobs, settings, code_folder, is_changed)

    def compare_code(self) -> tuple[CodeComparison, list[PlannedJob]]:
        """Return the comparison with the code of today, and each job with what has changed since it was done."""
        return _compare_with_today(self.ledger, unique_by_id(self.jobs), self.states, self.code_folder)

    def header(self, overrides: Sequence[str]) -> PlanHeader:
        """The header of a plan of these jobs."""
        return PlanHeader.create(overrides, (), self.settings, self.code_folder)


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in FAILURE_KINDS:
            raise UsageError(f"--kind {kind}: no such kind of failure; known: {', '.join(FAILURE_KINDS)}")


def _select(planned: list[PlannedJob], selection: Selection | None) -> list[PlannedJob]:
    return planned if selection is None else selection.apply(planned, lambda one: one.job)


def _start(
    root: Root,
    today: _Today,
    starting: Sequence[PlannedJob],
    code: Mapping[str, str | None],
    overrides: Sequence[str],
) -> LaunchResult:
    """Record that these jobs are resumed, and submit them. The result has neither notes nor the jobs of the study."""
    ledger, study = today.ledger, today.ledger.study
    if starting:
        record_resumed(study, ledger, [one.job.id for one in starting if one.state in STOPPED_STATES])
        if today.is_changed:
            write_plan(study, today.header(overrides), today.jobs)
    copy_reused_outputs(study, today.states, today.jobs)
    submissions, advanced = submit_jobs(root, study, ledger, starting, today.settings, today.code_folder, code)
    started = submitted_jobs(starting, submissions)
    return LaunchResult(
        study=study,
        jobs=(),
        started=started,
        held_count=today.states.count_held(job.id for job in started),
        submissions=submissions,
        taken_count=count_taken(starting, submissions),
        advance_result=advanced,
        notes=(),
    )


def _resume_search(root: Root, ledger: Ledger, starting: Sequence[PlannedJob], header: PlanHeader) -> LaunchResult:
    """Let a search go on, with those of its jobs that failed or were cancelled."""
    from seedfold.orchestrator.dispatch.search import go_on

    SearchLaunch.read(ledger.study)
    stopped = [one.job.id for one in starting if one.state in STOPPED_STATES]
    if ledger.record_of(SEARCH_JOB).is_cancelled or ledger.record_of(SEARCH_JOB).failures():
        stopped.append(SEARCH_JOB)
    record_resumed(ledger.study, ledger, stopped)
    assert ledger.plans.header is not None
    if header.settings != ledger.plans.header.settings:
        write_plan(ledger.study, header, ())
    return go_on(root, ledger.study)


def _compare_with_today(
    ledger: Ledger, jobs: Sequence[JobDescription], states: JobStates, folder: Path
) -> tuple[CodeComparison, list[PlannedJob]]:
    """Return the comparison with the code in ``folder``, and the jobs with what has changed since they were done."""
    comparison = compare_code(ledger, next(reversed(jobs), None), folder)
    staleness = StalenessChecker(states, comparison)
    found = ((job, states.of(job.id)) for job in jobs)
    return comparison, [PlannedJob(job, state, state.state, staleness.find_changes(job, state)) for job, state in found]


def unique_by_id(jobs: Iterable[JobDescription]) -> list[JobDescription]:
    """The jobs, each once, even if it has two addresses in a study."""
    return list({job.id: job for job in jobs}.values())


def advance_study(root: Root, ledger: Ledger) -> None:
    """Record which tasks have ended: tasks that were just cancelled in the scheduler would else count as queued."""
    if not any(submission.array for submission in ledger.live_submissions):
        return
    from seedfold.orchestrator.schedulers.advance import advance

    advance(root, ledger.study, ledger)
    ledger.refresh()


def _jobs_to_resume(
    planned: Sequence[PlannedJob], kinds: Sequence[str], keep_cancelled: bool, is_left_on_hold: Callable[[str], bool]
) -> list[PlannedJob]:
    """Jobs that are neither done nor active nor held nor paused.

    A job with a parent that is neither and is not resumed itself is left out.
    """
    states = {one.job.id: one.state for one in planned}
    starting: dict[str, PlannedJob] = {}
    for one in planned:
        if one.state in {"done", "paused", *ACTIVE_STATES} or (kinds and not _has_failed_as_kind(one, kinds)):
            continue
        if one.job_state.reason == PRUNED:
            continue
        if is_left_on_hold(one.job.id) or (keep_cancelled and one.state == "cancelled"):
            continue
        if all(parent in starting or states.get(parent) in {"done", *ACTIVE_STATES} for parent in one.job.parents):
            starting[one.job.id] = one
    return list(starting.values())


def _has_failed_as_kind(planned: PlannedJob, kinds: Sequence[str]) -> bool:
    event = planned.job_state.event
    return planned.state == "failed" and event is not None and event["kind"] in kinds
