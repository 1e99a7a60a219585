"""Runs a sweep for Hydra: plans and launches it, waits, and returns what its jobs returned."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seedfold.jobs.errors import SeedfoldError, UsageError
from seedfold.jobs.secret_values import refuse_secrets
from seedfold.jobs.study_keys import SEARCH
from seedfold.jobs.terminal_text import terminal_text
from seedfold.orchestrator.cli.follow import wait_and_print_outcome
from seedfold.orchestrator.cli.launch import print_started
from seedfold.orchestrator.dispatch.launch import (
    accept_and_plan_again,
    refuse_replacing,
    rerun_condition,
    start_plan,
)
from seedfold.orchestrator.dispatch.launch import launch as launch_study
from seedfold.orchestrator.dispatch.pilot import Pilot, choose_pilot
from seedfold.orchestrator.dispatch.resume import STOPPED_STATES
from seedfold.orchestrator.dispatch.resumed_jobs import record_resumed
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.launch_plan import Plan
from seedfold.orchestrator.state.stale_lines import WaysOn
from seedfold.orchestrator.sweeps.request import OWN_KEYS, SweepRequest
from seedfold.orchestrator.sweeps.returns import read_job_returns

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from seedfold.jobs.hydra_program import ProgramStudy

_REPLACE_ADVICE = (
    "set hydra.launcher.replace=true, or another hydra.job.name; a new key whose value behaves as before belongs into "
    "hydra.launcher.neutral, a renamed one into hydra.launcher.renames"
)
_WAYS = WaysOn("hydra.launcher.rerun=stale", "hydra.launcher.accept_code=true")


def run_sweep(request: SweepRequest, arguments: Sequence[str]) -> Sequence[JobReturn]:
    """Run a sweep. Exits with 1 if a job failed, 2 for bad input, 3 if a scheduler does not reply, 130 if interrupted.

    Returns what the jobs returned; an empty list if nothing waits for them.
    """
    with exit_on_errors():
        if request.uses_seedfold_launcher:
            request.check_flags()
        if request.is_seedfold_study:
            return _launch_seedfold_study(request, arguments)
        if has_search(request):
            from seedfold.orchestrator.sweeps.program_search import run_program_search

            run_program_search(request, arguments)
            return []
        from seedfold.jobs.hydra_program import load_sweep

        study = load_sweep(request.make_sweep(), arguments)
        request.save_config()
        if not request.uses_seedfold_launcher:
            return _run_with_other_launcher(request, study)
        plan, launched, code = _launch_and_wait(request, study, arguments)
        if code:
            sys.exit(code)
        if not request.get_flag("wait") or (launched.held_count and not request.get_flag("pilot_auto")):
            return []
        return list(read_job_returns(plan.root, launched.study, plan.descriptions, with_config=False))


def has_search(request: SweepRequest) -> bool:
    """Whether the sweeper is told to search a space in place of running all points."""
    return request.config.hydra.sweeper.get(SEARCH) is not None


def _launch_and_wait(
    request: SweepRequest, study: ProgramStudy, arguments: Sequence[str]
) -> tuple[Plan, LaunchResult, int]:
    """Plan, launch, and wait if asked to; return the exit code as well."""
    plan = plan_jobs(request, study, arguments)
    launched = start_jobs(request, plan, arguments)
    waits = request.get_flag("wait")
    return plan, launched, wait_and_print_outcome(plan.root, launched) if waits else launched.exit_code


def plan_jobs(request: SweepRequest, study: ProgramStudy, arguments: Sequence[str]) -> Plan:
    """Compare the jobs with the ledger. Raises UsageError for what cannot be launched, before anything is started."""
    root = request.root
    _check_study_name(root, study.name)
    _refuse_login(study)
    plan = Plan(root, study)
    refuse_secrets(plan.descriptions, study.settings, arguments, os.environ)
    refuse_copy(plan.folder)
    if not request.get_flag("replace"):
        refuse_replacing(plan, _REPLACE_ADVICE)
    return plan


def start_jobs(request: SweepRequest, plan: Plan, arguments: Sequence[str], *, only_adds: bool = False) -> LaunchResult:
    """Start the jobs of a plan that have to run, and say so."""
    if request.get_flag("resume"):
        plan = _plan_with_resumed(plan)
    if request.get_flag("accept_code"):
        plan = accept_and_plan_again(plan)
    pilot = _choose_pilot(request, plan, only_adds)
    starting = (
        plan.startable_jobs(rerun_condition(request.rerun, plan.descriptions))
        if pilot is None
        else pilot.choose_startable(plan)
    )
    launched = start_plan(plan, starting, arguments, only_adds=only_adds, ways=_WAYS, pilot=pilot)
    print_started(launched, launched.study.name)
    return launched


def _choose_pilot(request: SweepRequest, plan: Plan, only_adds: bool) -> Pilot | None:
    if request.pilot is None:
        return None
    if only_adds:
        raise UsageError("hydra.launcher.pilot: this sweeper chooses points by the results of others; leave it out")
    if request.rerun is not None:
        raise UsageError("hydra.launcher.pilot: holds jobs that have not begun; leave hydra.launcher.rerun out")
    return choose_pilot(plan, request.pilot, Selection())


def _refuse_login(study: ProgramStudy) -> None:
    login = study.settings["cluster"].get("login")
    if login is not None:
        host = login.get("host") if isinstance(login, dict) else login
        raise UsageError(
            f"hydra.launcher.login: {host}: a sweep is launched on the machine where"
            " its program runs; start the program on that host"
        )


def _check_study_name(root: Root, name: str) -> None:
    try:
        root.study_folder(name)
    except UsageError as error:
        raise UsageError(f"hydra.job.name: {str(error).removeprefix('study: ')}; set hydra.job.name=NAME") from None


def _plan_with_resumed(plan: Plan) -> Plan:
    """The plan, after recording that failed and cancelled jobs are resumed and have all their retries again."""
    stopped = [planned.job.id for planned in plan.jobs if planned.state in STOPPED_STATES]
    record_resumed(plan.folder, plan.ledger, stopped)
    return Plan(plan.root, plan.study)


def _run_with_other_launcher(request: SweepRequest, study: ProgramStudy) -> Sequence[JobReturn]:
    """Pass the points to another launcher than Seedfold's, which composes them again."""
    from hydra.core.plugins import Plugins

    launcher = Plugins.instance().instantiate_launcher(request.context, request.task_function, request.config)
    returns: Sequence[JobReturn] = launcher.launch(study.points_as_overrides(), initial_job_idx=0)
    for one in returns:
        # Reading the value raises the error of a job that failed.
        _ = one.return_value
    return returns


def _launch_seedfold_study(request: SweepRequest, arguments: Sequence[str]) -> list[JobReturn]:
    """Launch one of Seedfold's own studies, as `seedfold launch` does."""
    from seedfold.orchestrator.cli.call import add_folder_to_import_path

    if not request.uses_seedfold_launcher:
        raise UsageError("hydra/launcher: Seedfold's own studies need seedfold_local, seedfold_slurm or seedfold_lsf")
    if request.get_flag("resume"):
        raise UsageError("hydra.launcher.resume: continue Seedfold's own studies with seedfold resume STUDY")
    add_folder_to_import_path()
    root, config_dirs = request.root, request.config_dirs
    overrides = [*arguments, *_launcher_overrides(request, arguments)]
    launched = launch_study(
        root,
        overrides,
        config_dirs=config_dirs,
        replace=request.get_flag("replace"),
        rerun=request.rerun,
        accept=request.get_flag("accept_code"),
        pilot=request.pilot,
    )
    print_started(launched, launched.study.name)
    code = wait_and_print_outcome(root, launched) if request.get_flag("wait") else launched.exit_code
    if code:
        sys.exit(code)
    return []


def _launcher_overrides(request: SweepRequest, arguments: Sequence[str]) -> Iterator[str]:
    """The launcher's settings as overrides of a study: of its cluster and its resources."""
    if request.cluster_name != "local" and not any(given.startswith("cluster=") for given in arguments):
        yield f"cluster={request.cluster_name}"
    from seedfold.jobs.hydra_program import hydra_overrides

    for given in hydra_overrides(request.config):
        key = given.removeprefix("hydra.launcher.")
        if key == given or key.split("=")[0] in OWN_KEYS:
            continue
        yield key if key.startswith(("resources.", "failures.", "report.")) else f"cluster.{key}"


@contextmanager
def exit_on_errors() -> Iterator[None]:
    """Print an error of Seedfold as one line and exit with its code, unless Hydra is set to show full errors."""
    try:
        yield
    except SeedfoldError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"seedfold: {terminal_text(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(error.exit_code)
