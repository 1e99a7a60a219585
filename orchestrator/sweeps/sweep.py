"""Having a sweep done for Hydra: plan, launch, wait, say what came out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seedfold.jobs.errors import SeedfoldError, UsageError
from seedfold.orchestrator.cli.follow import wait_and_print_outcome
from seedfold.orchestrator.cli.launch import print_started
from seedfold.orchestrator.dispatch.launch import launch as launch_study
from seedfold.orchestrator.dispatch.launch import refuse_replacing, start_plan
from seedfold.orchestrator.dispatch.resume import STOPPED_STATES, record_resumed
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.plan import Plan
from seedfold.orchestrator.sweeps.request import SweepRequest
from seedfold.orchestrator.sweeps.returns import read_job_returns

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from seedfold.jobs.hydra_program import ProgramStudy

_REPLACE_ADVICE = "give hydra.launcher.replace=true, or another hydra.job.name"
_INTERRUPTED_EXIT_CODE = 130


def run_sweep(request: SweepRequest, arguments: Sequence[str]) -> Sequence[JobReturn]:
    """Do what a sweep asks for. Exits with 1 if a job failed, 2 for bad input, 3 where nobody answers, 130 if stopped.

    Returns what the jobs returned, nothing where nobody waits for them.
    """
    with _exit_on_errors():
        if request.uses_seedfold_launcher:
            request.check_flags()
        if request.is_seedfold_study:
            return _launch_seedfold_study(request, arguments)
        from seedfold.jobs.hydra_program import load_sweep

        study = load_sweep(request.make_sweep(), arguments)
        if not request.uses_seedfold_launcher:
            return _run_with_other_launcher(request, study)
        plan, launched, code = _launch_and_wait(request, study, arguments)
        if code:
            sys.exit(code)
        if not request.get_flag("wait"):
            return []
        return list(read_job_returns(plan.root, launched.study, plan.descriptions, with_config=False))


def launch_points(request: SweepRequest, points: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
    """Do the points that another sweeper made; return what each returned, in order."""
    with _exit_on_errors():
        request.check_flags()
        if request.is_seedfold_study:
            raise UsageError("hydra/sweeper: Seedfold's own studies are swept by hydra/sweeper=seedfold")
        from seedfold.jobs.hydra_program import load_expanded_points

        study, job_numbers = load_expanded_points(request.make_sweep(), points)
        # The next points of the same sweep come with the same arguments.
        plan, launched, code = _launch_and_wait(request, study, request.arguments, only_adds=True)
        if code == _INTERRUPTED_EXIT_CODE:
            sys.exit(code)
        if not request.get_flag("wait"):
            return []
        returns = list(read_job_returns(plan.root, launched.study, plan.descriptions))
        return [returns[number] for number in job_numbers]


def _launch_and_wait(
    request: SweepRequest, study: ProgramStudy, arguments: Sequence[str], *, only_adds: bool = False
) -> tuple[Plan, LaunchResult, int]:
    """Plan, launch, and wait if asked to; return the exit code as well."""
    root = request.root
    _check_study_name(root, study.name)
    _refuse_login(study)
    plan = Plan(root, study)
    refuse_copy(plan.folder)
    if not request.get_flag("replace"):
        refuse_replacing(plan, _REPLACE_ADVICE)
    if request.get_flag("resume"):
        plan = _plan_with_resumed(plan)
    launched = start_plan(plan, plan.startable_jobs(), arguments, only_adds=only_adds)
    print_started(launched)
    return plan, launched, wait_and_print_outcome(root, launched) if request.get_flag("wait") else 0


def _refuse_login(study: ProgramStudy) -> None:
    login = study.settings["cluster"].get("login")
    if login is not None:
        host = login.get("host") if isinstance(login, dict) else login
        raise UsageError(
            f"hydra.launcher.login: {host}: a sweep is launched from where its program runs; start the program there"
        )


def _check_study_name(root: Root, name: str) -> None:
    try:
        root.study_folder(name)
    except UsageError as error:
        raise UsageError(f"hydra.job.name: {str(error).removeprefix('study: ')}; give hydra.job.name=NAME") from None


def _plan_with_resumed(plan: Plan) -> Plan:
    """The plan after jobs that failed or were cancelled were given their retries back."""
    stopped = [planned.job.id for planned in plan.jobs if planned.state in STOPPED_STATES]
    record_resumed(plan.folder, plan.ledger, stopped)
    return Plan(plan.root, plan.study)


def _run_with_other_launcher(request: SweepRequest, study: ProgramStudy) -> Sequence[JobReturn]:
    """Hand the points to a launcher that is not ours, which composes them again."""
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
        raise UsageError("hydra/launcher: Seedfold's own studies are launched by seedfold_local, seedfold_slurm, …")
    if request.get_flag("resume"):
        raise UsageError("hydra.launcher.resume: Seedfold's own studies are gone on with by seedfold resume STUDY")
    add_folder_to_import_path()
    root, config_dirs = request.root, request.config_dirs
    overrides = [*arguments, *_launcher_overrides(request, arguments)]
    launched = launch_study(root, overrides, config_dirs=config_dirs, replace=request.get_flag("replace"))
    print_started(launched)
    code = wait_and_print_outcome(root, launched) if request.get_flag("wait") else 0
    if code:
        sys.exit(code)
    return []


def _launcher_overrides(request: SweepRequest, arguments: Sequence[str]) -> Iterator[str]:
    """What was said of the launcher, in a study's words: its cluster, and what its jobs ask for."""
    if request.cluster_name != "local" and not any(given.startswith("cluster=") for given in arguments):
        yield f"cluster={request.cluster_name}"
    from seedfold.jobs.hydra_program import hydra_overrides

    for given in hydra_overrides(request.config):
        key = given.removeprefix("hydra.launcher.")
        if key == given or key.split("=")[0] in {"root", "wait", "resume", "replace", "volatile"}:
            continue
        yield key if key.startswith(("resources.", "failures.", "report.")) else f"cluster.{key}"


@contextmanager
def _exit_on_errors() -> Iterator[None]:
    """Print an error of ours as one line and exit with its code, unless all of it is asked for."""
    try:
        yield
    except SeedfoldError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"seedfold: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
