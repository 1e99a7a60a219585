"""Starting what is to be done: launch, resume, cancel, and waiting for it.

The order of writes: the plan names the jobs, the submission's intent says who shall do them, then the worker is
started. A kill between any two leaves jobs waiting, never lost and never doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.code.target_check import refuse_missing_targets
from seedfold.orchestrator.dispatch.submit import LaunchResult, check_with_scheduler, choose_snapshots, submit_jobs
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.plans import PlanHeader, study_request, write_plan
from seedfold.orchestrator.login.project_store import refuse_absent_data
from seedfold.orchestrator.settings.login import refuse_remote_study
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.settings.site import site_overrides
from seedfold.orchestrator.state.plan import Plan, PlannedJob, replaced_keys


def make_plan(root: Root, overrides: Sequence[str], config_dirs: Sequence[Path], check_code: bool = False) -> Plan:
    """Compose, expand and compare.

    Raises UsageError for what is wrong with the study, for classes that it names and that are not there, and if it
    belongs elsewhere.
    """
    from seedfold.jobs.study import load_study

    study = load_study([*site_overrides(overrides), *overrides], config_dirs=config_dirs, folder=Path.cwd())
    refuse_remote_study(study.settings["cluster"])
    plan = Plan(root, study, import_roots() if check_code else None)
    refuse_missing_targets(plan.descriptions, Path.cwd())
    return plan


def import_roots() -> tuple[Path, ...]:
    """Where a job launched from here would import code from."""
    import sys

    return (Path.cwd(), *(Path(entry) for entry in sys.path if entry))


def launch(
    root: Root,
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[Path] = (),
    selection: Selection | None = None,
    replace: bool = False,
    rerun: str | None = None,
) -> LaunchResult:
    """Plan a study and start what is new, waiting, lost, stale by parent or to be retried.

    ``rerun`` adds done jobs: ``stale`` for those whose data or code changed, else a where expression. Raises UsageError
    if jobs would be replaced and ``replace`` is not set; nothing is written then.
    """
    plan = make_plan(root, overrides, config_dirs, check_code=rerun == "stale")
    refuse_copy(plan.folder)
    if selection is not None:
        selection.check_names(plan.descriptions)
    starting = plan.startable_jobs(_rerun_condition(rerun, plan.descriptions))
    if selection is not None:
        starting = selection.apply(starting, lambda planned: planned.job)
    if not replace:
        refuse_replacing(plan)
    return start_plan(plan, starting, overrides, config_dirs)


def start_plan(
    plan: Plan,
    starting: Sequence[PlannedJob],
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    *,
    only_adds: bool = False,
) -> LaunchResult:
    """Do what a plan says: write it down, keep the code, hand the jobs over. ``overrides`` are what was asked for.

    Points that an earlier plan of the same overrides had, and this one has not, are removed unless it ``only_adds``.
    """
    root = plan.root
    request = None if only_adds else study_request(overrides)
    removed = [] if request is None else plan.jobs_to_remove(request)
    refuse_absent_data(Path.cwd(), plan.study.settings)
    check_with_scheduler(plan.folder, starting, plan.study.settings)
    if starting or removed or plan.has_new_addresses() or plan.changes_report():
        root.mark_as_root()
        header = PlanHeader.create(overrides, config_dirs, plan.study.settings, Path.cwd(), request)
        write_plan(plan.folder, header, plan.descriptions)
    code = choose_snapshots(plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd())
    submissions, advanced = submit_jobs(root, plan.folder, plan.ledger, starting, plan.study.settings, Path.cwd(), code)
    return LaunchResult(
        study=plan.folder,
        jobs=tuple(dict.fromkeys(job.id for job in plan.descriptions)),
        started=tuple(planned.job for planned in starting),
        submissions=submissions,
        advance_result=advanced,
        removed=tuple(removed),
        exhausted_count=sum(planned.state == "failed" for planned in plan.jobs) - _count_failed(starting),
    )


def refuse_replacing(plan: Plan, advice: str = "launch with --replace, or under another name with study=NAME") -> None:
    """Raise UsageError, which says what to do ``advice``, if other jobs stand in the places of the plan's."""
    # Somebody else may have planned while this plan was made.
    plan.ledger.plans.refresh()
    replacements = plan.find_replacements()
    if replacements:
        keys = "; ".join(replaced_keys(replacements, plan.study.settings["identity"]))
        raise UsageError(
            f"{count_noun(len(replacements), 'job')} of study {plan.study.name} would be replaced ({keys}); {advice}"
        )


def _count_failed(jobs: Iterable[PlannedJob]) -> int:
    return sum(planned.state == "failed" for planned in jobs)


def _rerun_condition(rerun: str | None, jobs: Iterable[JobDescription]) -> Callable[[PlannedJob], bool]:
    if rerun is None:
        return lambda planned: False
    if rerun == "stale":
        return lambda planned: planned.stale is not None
    from seedfold.jobs.conditions import Where

    where = Where.parse(rerun)
    where.check({axis: None for job in jobs for axis in job.axes})
    return lambda planned: planned.state == "done" and where.matches(planned.job.axes)
