"""The options that commands have in common, with the same names and meanings everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.cli import completion_values
from seedfold.orchestrator.cli.call import store_root_option
from seedfold.orchestrator.ledger.layout import Root, find_root

F = TypeVar("F", bound=Callable[..., Any])


class Choice(click.Choice[str]):
    """An option with one of several words as value; the error for any other word suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word. Raises click's BadParameter for any other word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            nearest = did_you_mean(str(value), map(str, self.choices))
            raise click.BadParameter(error.message.rstrip(".") + nearest, ctx, param) from error


def _to_root(context: click.Context, parameter: click.Parameter, value: str | None) -> Root:
    store_root_option(context, value)
    root = find_root(value)
    root.apply_group_umask()
    return root


def common(function: F) -> F:
    """``--root``, ``--login`` and ``--debug``: the options of every command.

    If there is a login host, the command runs there.
    """
    login = click.option(
        "--login",
        metavar="HOST",
        help="Run the command on that machine, over ssh; `here` means this machine."
        " Default: SEEDFOLD_LOGIN, else cluster.login.",
    )
    return local(login(_run_here_or_remotely(function)))


def local(function: F) -> F:
    """``--root`` and ``--debug``, for commands that always run on this machine."""
    root = click.option(
        "--root",
        metavar="DIR",
        callback=_to_root,
        help="Folder that holds the studies. Default: the first of SEEDFOLD_ROOT, the site"
        " file, the nearest root above this folder, and ./runs.",
    )
    debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
    return root(debug(function))


def _runs_on_this_machine(context: click.Context, options: Mapping[str, Any]) -> bool:
    """Whether a command reads a file of this machine, as the scripts do that `render` writes."""
    return context.info_name == "run" and options.get("file") is not None


def _run_here_or_remotely(function: F) -> F:
    @wraps(function)
    def run(*args: Any, login: str | None, **options: Any) -> Any:
        from seedfold.orchestrator.settings.login import RemoteStudyError, find_login_host

        context = click.get_current_context()
        remote_login = (
            None if _runs_on_this_machine(context, options) else find_login_host(login, options.get("overrides") or ())
        )
        try:
            if remote_login is None:
                return function(*args, **options)
        except RemoteStudyError as error:
            remote_login = error.login_host
        from seedfold.orchestrator.cli.remote import run_remotely

        context.exit(run_remotely(context, remote_login))

    return cast("F", run)


accept_code = click.option(
    "--accept-code",
    is_flag=True,
    help="Record that today's code computes the same as the code of done jobs, and keep their results.",
)
across = click.option(
    "--across",
    type=Choice(["code"]),
    help="Combine results of several versions of the code, which are kept apart otherwise.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def selection(function: F) -> F:
    """``--where``, ``--stage`` and ``--limit``: which jobs a command selects."""
    return _selection_with_limit(function, "Select at most N jobs.")


def selection_of_rows(function: F) -> F:
    """The same for a table, of which ``--limit`` shows the first rows."""
    return _selection_with_limit(function, "Print at most N rows of the table.")


def _selection_with_limit(function: F, limit_help: str) -> F:
    where = click.option(
        "--where",
        metavar="COND",
        multiple=True,
        shell_complete=completion_values.conditions,
        help="Select jobs by axis values, e.g. 'seed=1,2 fold>=3', or by the beginning of an id, e.g. 'job=1a2b3c'.",
    )
    stage = click.option(
        "--stage",
        "stages",
        metavar="STAGE",
        multiple=True,
        shell_complete=completion_values.stages,
        help="Select jobs of this stage; repeatable.",
    )
    limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help=limit_help)
    return where(stage(limit(function)))


with_removed = click.option(
    "--all", "with_removed", is_flag=True, help="Also show jobs of points that the last launch removed from the study."
)


def _to_folders(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    folders = tuple(Path(value).expanduser().absolute() for value in values)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--config-dir {folder}: no such folder")
    return folders


config_dirs = click.option(
    "--config-dir",
    "-cd",
    "config_dirs",
    metavar="DIR",
    multiple=True,
    callback=_to_folders,
    help="Folder with your own configuration, used in addition to Seedfold's; repeatable.",
)
overrides = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=completion_values.overrides)
study = click.argument("study", shell_complete=completion_values.studies)
study_or_all = click.argument("study", required=False, shell_complete=completion_values.studies)


def refuse_without_study(context: click.Context) -> None:
    """Raise UsageError for an option that says something about one study, where none is named."""
    general = {"study", "as_json", "every", "root"}
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
        if parameter.name not in general and is_given and context.params.get(parameter.name or ""):
            raise UsageError(f"{parameter.opts[0]}: name the STUDY that it is for")


now = click.option(
    "--now",
    is_flag=True,
    help="On this machine: do not wait for slots that other studies hold; run beside their jobs.",
)


def wait(function: F) -> F:
    """``--wait`` and ``--detach``: wait until the jobs have ended, or return when they are submitted."""
    return click.option(
        "--wait/--detach",
        "wait",
        default=None,
        help="Wait until the jobs have ended, or return as soon as they are submitted."
        " Default: wait on this machine, return on a cluster.",
    )(function)


job = click.argument("job", nargs=-1, metavar="JOB", shell_complete=completion_values.job_words)


def pilot(function: F) -> F:
    """``--pilot`` and ``--pilot-auto``: a few jobs first, the others held."""
    size = click.option(
        "--pilot",
        type=click.IntRange(min=1),
        metavar="N",
        help="Start N jobs of each stage and task, and hold the others until you run seedfold release.",
    )
    auto = click.option(
        "--pilot-auto", is_flag=True, help="With --pilot: release the others when all jobs of the pilot are done."
    )
    return size(auto(function))


many = click.option("--yes", "many", is_flag=True, help="Accept a study of more than a million points.")
within_study = click.option(
    "--study", metavar="STUDY", shell_complete=completion_values.studies, help="Look for the job in this study only."
)
