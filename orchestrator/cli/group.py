"""The group of all commands: it has the name and one sentence of each, and imports only the one that is called.

It also turns each end of a command into an exit code: 0 success, 1 a job failed or was refused, 2 wrong usage or
configuration, 3 scheduler or store unreachable, 130 interrupted. An error is one line on standard error.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from seedfold.jobs.errors import SeedfoldError, UnreachableError, did_you_mean
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.results.store.passing_errors import FULL_DISK_ERRNOS, PASSING_ERRNOS

COMMANDS = {
    "plan": "Show which jobs would run and why. Nothing is started.",
    "launch": "Start the jobs of a study. Ctrl-C stops them and loses nothing.",
    "sweep": "Run a command for all combinations of values, as a study.",
    "ls": "List the studies of the root, with counts and sizes.",
    "status": "Show the number of jobs by state, and the reasons of failures.",
    "watch": "Show the status, and update it until no job is active.",
    "resume": "Start unfinished and failed jobs again, from their checkpoints.",
    "rerun": "Run finished jobs again: stale ones, or those that you select.",
    "cancel": "Cancel the jobs that are not done.",
    "hold": "Hold the jobs that have not begun.",
    "release": "Let held jobs go on.",
    "throttle": "Let at most N jobs of a study run at a time.",
    "advance": "Submit what is due on a cluster; other commands do this too.",
    "run": "Run one job in the foreground, in a scratch folder.",
    "render": "Write scripts for a shell, sbatch or bsub, to run by hand.",
    "logs": "Print the log of a job.",
    "show": "Show the details of a job.",
    "export": "Write the weights of a job to a file, with its configuration.",
    "explain": "Show the configuration keys in which two jobs differ.",
    "import": "Import predictions that were made elsewhere.",
    "results": "Print or write tables: metrics, predictions, ensembles, …",
    "compare": "Compare two values of an axis, two studies or two jobs.",
    "fetch": "Copy a study from another machine or folder, to read it here.",
    "serve": "Serve a page with all studies, for a browser on this machine.",
    "report": "Write one self-contained HTML page with tables and figures.",
    "archive": "Write a study to one file with checksums, or read such a file.",
    "gc": "List files that may be deleted, with sizes, or delete them.",
    "delete": "Say what deleting a study removes, or delete it.",
    "rename": "Give a study another name.",
    "make-data": "Write a small sample data set for a study.",
    "doctor": "Check this machine and its cluster, and say what is wrong.",
    "completion": "Print the script for tab completion in your shell.",
}
_INTERNAL_COMMANDS = ("receive", "send")
"""Commands that Seedfold on another machine calls here."""
_MODULE_NAMES = {"import": "import_files"}
"""The modules of commands whose names cannot be names of modules."""
_CALLER_VARIABLE = "SEEDFOLD_CALLER"
_COMPLETION_VARIABLE = "_SEEDFOLD_COMPLETE"
_INTERRUPTED_EXIT_CODE = 130
_STORE_ERRORS = {errno.EACCES, errno.EPERM} | FULL_DISK_ERRNOS | PASSING_ERRNOS
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class LazyGroup(click.Group):
    """A group whose commands are modules beside this one, each with a ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the commands, in the order in which people use them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of that name."""
        if cmd_name not in COMMANDS and cmd_name not in _INTERNAL_COMMANDS:
            return None
        module = _MODULE_NAMES.get(cmd_name, cmd_name.replace("-", "_"))
        command = importlib.import_module(f"seedfold.orchestrator.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called. Raises a usage error, with the nearest name, if it does not exist."""
        name = args[0]
        if name not in (*COMMANDS, *_INTERNAL_COMMANDS) and not name.startswith("-"):
            raise click.UsageError(
                f"there is no command {name!r}{did_you_mean(name, COMMANDS)}; see seedfold --help", ctx
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing them, and the options."""
        commands = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line and exit with its code."""
        extra |= {"standalone_mode": False, "prog_name": "seedfold"}
        # A large study has a million objects that stay alive: searching them for garbage took a third of the time.
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        # Read before anything is parsed or imported, so that it applies to errors of these as well.
        debug = "--debug" in (sys.argv[1:] if args is None else args)
        try:
            if _CALLER_VARIABLE in os.environ:
                importlib.import_module("seedfold.orchestrator.login.parent_watch").check_and_watch_caller()
            if _COMPLETION_VARIABLE in os.environ:
                importlib.import_module("seedfold.orchestrator.cli.completion").register()
            code = super().main(args, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of the output has closed it. Python would print another error when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except (Exception, KeyboardInterrupt) as error:
            code = _print_error(error, debug)
        sys.exit(code if isinstance(code, int) else 0)


def _print_error(error: BaseException, debug: bool) -> int:
    """Print an error as one line and return its exit code; with ``--debug`` its traceback comes first."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _print_message("interrupted")
        return _INTERRUPTED_EXIT_CODE
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    if debug:
        import traceback

        print_note("".join(traceback.format_exception(error)).rstrip(), prefix="")
    if isinstance(error, click.ClickException):
        _print_message(_usage_text(error))
        return 2
    if isinstance(error, SeedfoldError):
        _print_message(str(error))
        for note in getattr(error, "__notes__", ()):
            print_note(note, prefix="")
        return error.exit_code
    from seedfold.jobs.work import DataFailure

    if isinstance(error, DataFailure):
        _print_message(f"{error}; seedfold doctor STUDY finds all results that are damaged")
        return UnreachableError.exit_code
    if isinstance(error, OSError) and error.errno in _STORE_ERRORS:
        place = f"{error.filename}: " if error.filename else ""
        _print_message(f"{place}{error.strerror}; {_advice(error)}")
        return UnreachableError.exit_code
    _print_message(
        f"{type(error).__name__}: {error}; this error is unexpected; run the"
        " command again with --debug to see the traceback"
    )
    return 1


def _advice(error: OSError) -> str:
    if error.errno in FULL_DISK_ERRNOS:
        return "make room and run the command again; what it has not written yet is not started"
    if error.errno in PASSING_ERRNOS:
        return "the file system does not answer; run the command again later"
    return "check the permissions of the folder"


def _usage_text(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        return (
            f"there is no option {error.option_name}{did_you_mean(error.option_name, known)};"
            f" see {_help_command(context)}"
        )
    text = error.format_message().rstrip(".")
    return text if "--help" in text else f"{text}; see {_help_command(context)}"


def _help_command(context: click.Context | None) -> str:
    return f"{context.command_path if context else 'seedfold'} --help"


def _print_message(text: str) -> None:
    print_note(" ".join(text.split()))


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        print_text(f"seedfold {version('seedfold')}")
        context.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run matrices of machine-learning experiments, each job once, on this machine or on a cluster.",
    epilog="A JOB is the first characters of its id, or its address: [STAGE] seed=3 fold=1.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """All commands; `LazyGroup` finds the one that is called."""
