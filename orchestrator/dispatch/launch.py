"""Launches a study: makes the plan, then starts the jobs that have to run.

The order of writes is: the plan with the jobs, the intent of the submission, then the start of the worker. After a kill
between any two of them jobs are waiting; none is lost and none runs twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.jobs.secret_values import refuse_secrets
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.code.command_files import refuse_missing_commands
from seedfold.orchestrator.code.lightning_check import refuse_misused_modules
from seedfold.orchestrator.code.target_check import refuse_missing_targets
from seedfold.orchestrator.dispatch.code_changes import accept_code, code_notes, split_mixed
from seedfold.orchestrator.dispatch.fused_jobs import fuse_notes, refuse_fusing
from seedfold.orchestrator.dispatch.pilot import Pilot, PilotRequest, choose_pilot
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
from seedfold.orchestrator.ledger.plans import PlanHeader, study_request, write_plan
from seedfold.orchestrator.login.project_store import refuse_absent_data
from seedfold.orchestrator.settings.failures import REFUSED
from seedfold.orchestrator.settings.login import refuse_remote_study
from seedfold.orchestrator.settings.selection import Selection, TellSelected
from seedfold.orchestrator.settings.site import site_overrides
from seedfold.orchestrator.state.given_up import resume_text
from seedfold.orchestrator.state.launch_plan import Plan, PlannedJob, replaced_keys
from seedfold.orchestrator.state.reused_outputs import copy_reused_outputs, count_reused
from seedfold.orchestrator.state.stale_lines import OPTIONS, WaysOn


def make_plan(root: Root, overrides: Sequence[str], config_dirs: Sequence[Path], many: bool = False) -> Plan:
    """Compose the study, expand its matrix, and compare the jobs with the ledger.

    Raises UsageError for errors in the study file, for classes and commands that do not exist, for a study that has to
    run on a login host, and for more than a million points unless ``many``.
    """
    from seedfold.jobs.study import load_study

    study = load_study([*site_overrides(overrides), *overrides], config_dirs=config_dirs, folder=Path.cwd(), many=many)
    refuse_remote_study(study.settings["cluster"])
    plan = Plan(root, study)
    refuse_secrets(plan.descriptions, study.settings, overrides, os.environ)
    refuse_missing_targets(plan.descriptions, Path.cwd())
    refuse_missing_commands(plan.descriptions, Path.cwd())
    refuse_misused_modules(plan.descriptions, Path.cwd())
    return plan


def launch(
    root: Root,
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[Path] = (),
    selection: Selection | None = None,
    replace: bool = False,
    rerun: str | None = None,
    accept: bool = False,
    many: bool = False,
    pilot: PilotRequest | None = None,
    exact: bool = False,
    tell: TellSelected | None = None,
) -> LaunchResult:
    """Plan a study and start the jobs that are new, waiting, lost, stale by parent or to be retried.

    ``rerun`` adds done jobs: ``stale`` adds those whose data or code has changed, any other text is a where expression.
    If jobs are to be ``exact``, UsageError is raised for a study that trains some of them together.
    ``pilot`` has a few jobs run first, and holds the others. ``accept`` first records that the code of today computes
    the same as that of done jobs. ``tell`` is told the jobs before they are started. Raises UsageError, and writes
    nothing, if jobs would be replaced and ``replace`` is not set, or if there are more than a million points and
    ``many`` is not set.
    """
    plan = make_plan(root, overrides, config_dirs, many)
    refuse_copy(plan.folder)
    if exact:
        refuse_fusing(plan.study.settings)
    if SEARCH in plan.study.settings:
        chooses = selection is not None and selection != Selection()
        given = {"--pilot": pilot, "--rerun": rerun, "--where, --stage, --limit": chooses, "--accept-code": accept}
        _refuse_for_search(option for option, value in given.items() if value)
        from seedfold.orchestrator.dispatch.search import launch_search

        return launch_search(plan, overrides, config_dirs, replace=replace)
    if pilot is not None and rerun is not None:
        raise UsageError("--pilot: holds jobs that have not begun; launch with --rerun in a second command")
    if selection is not None:
        selection.check_names(plan.descriptions)
    if not replace:
        refuse_replacing(plan)
    if accept:
        plan = accept_and_plan_again(plan, selection)
    chosen = None if pilot is None else choose_pilot(plan, pilot, selection or Selection())
    if chosen is None:
        starting = plan.startable_jobs(rerun_condition(rerun, plan.descriptions))
    else:
        starting = chosen.choose_startable(plan)
    if selection is not None:
        starting = selection.apply(starting, lambda planned: planned.job)
    if tell is not None:
        tell([planned.job for planned in starting])
    return start_plan(plan, starting, overrides, config_dirs, pilot=chosen)


def _refuse_for_search(options: Iterable[str]) -> None:
    for option in options:
        raise UsageError(f"{option}: a search chooses its jobs itself; launch it without this option")


def accept_and_plan_again(plan: Plan, selection: Selection | None = None) -> Plan:
    """Record that the code of today computes what done jobs were computed by, and return the plan as it is then."""
    jobs = plan.jobs if selection is None else selection.apply(plan.jobs, lambda planned: planned.job)
    accept_code(plan.folder, plan.code, jobs)
    return Plan(plan.root, plan.study)


def start_plan(
    plan: Plan,
    starting: Sequence[PlannedJob],
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    *,
    only_adds: bool = False,
    ways: WaysOn = OPTIONS,
    pilot: Pilot | None = None,
) -> LaunchResult:
    """Carry out a plan: write it, make a snapshot of the code, submit the jobs. ``overrides`` are those of the command.

    Points that an earlier plan with the same overrides had and this one does not are removed, unless ``only_adds``.
    Jobs whose parents were computed by several versions of the code are left out; ``ways`` say how to go on then. With
    a ``pilot`` the other jobs are held before anything is written that has them begin.
    """
    root = plan.root
    request = None if only_adds else study_request(overrides)
    removed = [] if request is None else plan.jobs_to_remove(request)
    starting, mixed = split_mixed(plan.code, plan.states, plan.jobs, starting)
    refuse_absent_data(Path.cwd(), plan.study.settings)
    check_with_scheduler(plan.ledger, starting, plan.study.settings)
    if pilot is not None:
        root.mark_as_root()
        pilot.record(plan)
    if starting or removed or plan.has_new_addresses() or plan.changes_report():
        root.mark_as_root()
        header = PlanHeader.create(overrides, config_dirs, plan.study.settings, Path.cwd(), request)
        write_plan(plan.folder, header, plan.descriptions)
    code = choose_snapshots(plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd())
    copy_reused_outputs(plan.folder, plan.states, plan.descriptions)
    started_ids = {one.job.id for one in starting}
    exhausted_count = sum(planned.state == "failed" for planned in plan.jobs) - _count_failed(starting)
    record_resumed(plan.folder, plan.ledger, [one.job.id for one in starting if _was_refused(one)])
    submissions, advanced = submit_jobs(root, plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd(), code)
    return LaunchResult(
        study=plan.folder,
        jobs=tuple(dict.fromkeys(job.id for job in plan.descriptions)),
        started=submitted_jobs(starting, submissions),
        held_count=plan.states.count_held(job.id for job in submitted_jobs(starting, submissions)),
        submissions=submissions,
        taken_count=count_taken(starting, submissions),
        advance_result=advanced,
        removed=tuple(removed),
        notes=(
            *code_notes(plan.code, plan.jobs, starting, len(mixed), ways),
            *plan.states.passed_over_lines(),
            *fuse_notes(plan),
        ),
        exhausted_count=exhausted_count,
        resume=resume_text(plan.states, plan.jobs),
        reused=count_reused(plan.folder, plan.states, [job for job in plan.descriptions if job.id not in started_ids]),
    )


def refuse_replacing(plan: Plan, advice: str = "use --replace, or another name for the study with study=NAME") -> None:
    """Raise UsageError, with the ``advice`` what to do, if addresses of the plan have other jobs."""
    # Another process may have written a plan while this plan was made.
    plan.ledger.plans.refresh()
    replacements = plan.find_replacements()
    if replacements:
        keys = "; ".join(replaced_keys(replacements, plan.study.settings["identity"]))
        raise UsageError(
            f"{count_noun(len(replacements), 'job')} of study {plan.study.name} would be replaced ({keys}); {advice}"
        )


def _was_refused(planned: PlannedJob) -> bool:
    return planned.state == "failed" and (planned.job_state.event or {}).get("digest") == REFUSED


def _count_failed(jobs: Iterable[PlannedJob]) -> int:
    return sum(planned.state == "failed" for planned in jobs)


def rerun_condition(rerun: str | None, jobs: Iterable[JobDescription]) -> Callable[[PlannedJob], bool]:
    """Which done jobs are done again: none, those that are ``stale``, or those for which a condition holds."""
    if rerun is None:
        return lambda planned: False
    if rerun == "stale":
        return lambda planned: planned.stale is not None
    from seedfold.jobs.conditions import Where

    where = Where.parse(rerun)
    where.check_for_jobs(jobs)
    return lambda planned: planned.state == "done" and where.matches_job(planned.job)
