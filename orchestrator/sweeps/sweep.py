"""Having a sweep done for Hydra: plan, launch, wait, say what came out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seedfold.jobs.errors import SeedfoldError, UsageError
from seedfold.orchestrator.cli.follow import follow
from seedfold.orchestrator.cli.launch import say_started
from seedfold.orchestrator.dispatch.launch import launch as launch_study
from seedfold.orchestrator.dispatch.launch import refuse_replacing, start
from seedfold.orchestrator.dispatch.resume import STOPPED, forgive
from seedfold.orchestrator.dispatch.submit import Launched
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.plan import Plan
from seedfold.orchestrator.sweeps.request import Request
from seedfold.orchestrator.sweeps.returns import returns_of

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from seedfold.jobs.hydra_program import ProgramStudy

_INSTEAD = "give hydra.launcher.replace=true, or another hydra.job.name"
_INTERRUPTED = 130


def sweep(request: Request, arguments: Sequence[str]) -> Sequence[JobReturn]:
    """Do what a sweep asks for. Exits with 1 if a job failed, 2 for bad input, 3 where nobody answers, 130 if stopped.

    Returns what the jobs returned, nothing where nobody waits for them.
    """
    with _errors_as_exits():
        if request.is_our_launcher:
            request.check_flags()
        if request.is_our_study:
            return _our_study(request, arguments)
        from seedfold.jobs.hydra_program import load_sweep

        study = load_sweep(request.sweep(), arguments)
        if not request.is_our_launcher:
            return _with_other_launcher(request, study)
        plan, launched, code = _do(request, study, arguments)
        if code:
            sys.exit(code)
        if not request.flag("wait"):
            return []
        return list(returns_of(plan.root, launched.study, plan.descriptions, with_config=False))


def launch(request: Request, points: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
    """Do the points that another sweeper made; return what each returned, in order."""
    with _errors_as_exits():
        request.check_flags()
        if request.is_our_study:
            raise UsageError("hydra/sweeper: Seedfold's own studies are swept by hydra/sweeper=seedfold")
        from seedfold.jobs.hydra_program import load_points

        study, order = load_points(request.sweep(), points)
        plan, launched, code = _do(request, study, request.arguments)
        if code == _INTERRUPTED:
            sys.exit(code)
        if not request.flag("wait"):
            return []
        returns = list(returns_of(plan.root, launched.study, plan.descriptions))
        return [returns[number] for number in order]


def _do(request: Request, study: ProgramStudy, arguments: Sequence[str]) -> tuple[Plan, Launched, int]:
    """Plan, launch, and wait if asked to; return the exit code as well."""
    root = request.root
    _check_name(root, study.name)
    _refuse_login(study)
    plan = Plan(root, study)
    refuse_copy(plan.folder)
    if not request.flag("replace"):
        refuse_replacing(plan, _INSTEAD)
    if request.flag("resume"):
        plan = _forgiven(plan)
    launched = start(plan, plan.startable(), arguments)
    say_started(launched)
    return plan, launched, follow(root, launched) if request.flag("wait") else 0


def _refuse_login(study: ProgramStudy) -> None:
    login = study.settings["cluster"].get("login")
    if login is not None:
        host = login.get("host") if isinstance(login, dict) else login
        raise UsageError(
            f"hydra.launcher.login: {host}: a sweep is launched from where its program runs; start the program there"
        )


def _check_name(root: Root, name: str) -> None:
    try:
        root.study(name)
    except UsageError as error:
        raise UsageError(f"hydra.job.name: {str(error).removeprefix('study: ')}; give hydra.job.name=NAME") from None


def _forgiven(plan: Plan) -> Plan:
    """The plan after jobs that failed or were cancelled were given their retries back."""
    stopped = [planned.job.id for planned in plan.jobs if planned.state in STOPPED]
    forgive(plan.folder, plan.ledger, stopped)
    return Plan(plan.root, plan.study)


def _with_other_launcher(request: Request, study: ProgramStudy) -> Sequence[JobReturn]:
    """Hand the points to a launcher that is not ours, which composes them again."""
    from hydra.core.plugins import Plugins

    launcher = Plugins.instance().instantiate_launcher(request.context, request.function, request.config)
    returned: Sequence[JobReturn] = launcher.launch(study.points(), initial_job_idx=0)
    for one in returned:
        # Reading the value raises the error of a job that failed.
        _ = one.return_value
    return returned


def _our_study(request: Request, arguments: Sequence[str]) -> list[JobReturn]:
    """Launch one of Seedfold's own studies, as `seedfold launch` does."""
    from seedfold.orchestrator.cli.call import import_from_here

    if not request.is_our_launcher:
        raise UsageError("hydra/launcher: Seedfold's own studies are launched by seedfold_local, seedfold_slurm, …")
    if request.flag("resume"):
        raise UsageError("hydra.launcher.resume: Seedfold's own studies are gone on with by seedfold resume STUDY")
    import_from_here()
    root, config_dirs = request.root, request.config_dirs
    overrides = [*arguments, *_as_study_overrides(request, arguments)]
    launched = launch_study(root, overrides, config_dirs=config_dirs, replace=request.flag("replace"))
    say_started(launched)
    code = follow(root, launched) if request.flag("wait") else 0
    if code:
        sys.exit(code)
    return []


def _as_study_overrides(request: Request, arguments: Sequence[str]) -> Iterator[str]:
    """What was said of the launcher, in a study's words: its cluster, and what its jobs ask for."""
    if request.cluster_name != "local" and not any(given.startswith("cluster=") for given in arguments):
        yield f"cluster={request.cluster_name}"
    from seedfold.jobs.hydra_program import hydra_overrides

    for given in hydra_overrides(request.config):
        key = given.removeprefix("hydra.launcher.")
        if key == given or key.split("=")[0] in {"root", "wait", "resume", "replace", "volatile"}:
            continue
        yield key if key.startswith("resources.") else f"cluster.{key}"


@contextmanager
def _errors_as_exits() -> Iterator[None]:
    """Print an error of ours as one line and exit with its code, unless all of it is asked for."""
    try:
        yield
    except SeedfoldError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"seedfold: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
