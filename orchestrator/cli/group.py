"""The group of all commands: it knows each by name and one sentence, and imports the one that is called.

Every way a command can end becomes an exit code here: 0 fine, 1 a job failed, 2 usage or configuration, 3 scheduler or
store unreachable, 130 interrupted. An error is one line on standard error.
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

from seedfold.jobs.errors import SeedfoldError, UnreachableError, did_you_mean

COMMANDS = {
    "plan": "What would run and why, per stage; nothing is written.",
    "launch": "Plan, then do it. Ctrl-C stops gracefully and loses nothing.",
    "status": "Counts by state and stage, failures with their reasons.",
    "watch": "Status, live.",
    "resume": "Start what is neither done nor alive, from its checkpoints.",
    "cancel": "Cancel what is not done.",
    "advance": "What is to follow on a cluster; other commands do it, too.",
    "run": "One job in the foreground, in a scratch folder.",
    "render": "Command files and scripts for sbatch and bsub, to run by hand.",
    "logs": "What a job printed.",
    "show": "All that is known of a job.",
    "explain": "The keys that make two jobs different.",
    "import": "Predictions that were made elsewhere, as a job that is done.",
    "results": "Tables: runs, metrics, predictions, out-of-fold, ensembles.",
    "compare": "Two values of an axis, two studies or two jobs: what differs, and by chance?",
    "fetch": "Copy a study from where it lives, to look at it here.",
    "report": "One self-contained HTML page with tables and plots.",
    "gc": "What may be deleted, and how much room it takes.",
    "make-data": "A small data set in the format of a study, to try it with.",
    "doctor": "What this machine offers, and what is wrong with it.",
}
_INTERNAL_COMMANDS = ("receive", "send")
"""What a Seedfold elsewhere calls here."""
_MODULE_NAMES = {"import": "import_files"}
"""Where a command's name cannot be a module's."""
_CALLER_VARIABLE = "SEEDFOLD_CALLER"
_INTERRUPTED_EXIT_CODE = 130
_STORE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE}
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class LazyGroup(click.Group):
    """A group whose commands are modules beside this one, each with a ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order of their use."""
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
        """Find the command that is called; raises a usage error with the nearest name if there is none."""
        name = args[0]
        if name not in (*COMMANDS, *_INTERNAL_COMMANDS) and not name.startswith("-"):
            raise click.UsageError(f"no command {name!r}{did_you_mean(name, COMMANDS)}; see seedfold --help", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line and exit with its code."""
        extra |= {"standalone_mode": False, "prog_name": "seedfold"}
        # A large study is a million objects that stay: looking for garbage among them took a third of the time.
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        # Known before anything is parsed or imported, so that errors of those can be seen as well.
        debug = "--debug" in (sys.argv[1:] if args is None else args)
        try:
            if _CALLER_VARIABLE in os.environ:
                importlib.import_module("seedfold.orchestrator.login.parent_watch").check_and_watch_caller()
            code = super().main(args, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has had enough. Python would complain once more when it flushes at exit.
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

        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        _print_message(_usage_text(error))
        return 2
    if isinstance(error, SeedfoldError):
        _print_message(str(error))
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _STORE_ERRORS and error.filename:
        _print_message(f"{error.filename}: {error.strerror}; see who may write there and how much room is left")
        return UnreachableError.exit_code
    _print_message(f"{type(error).__name__}: {error}; this was not expected, run again with --debug to see where")
    return 1


def _usage_text(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        return (
            f"no such option {error.option_name}{did_you_mean(error.option_name, known)}; see {_help_command(context)}"
        )
    text = error.format_message().rstrip(".")
    return text if "--help" in text else f"{text}; see {_help_command(context)}"


def _help_command(context: click.Context | None) -> str:
    return f"{context.command_path if context else 'seedfold'} --help"


def _print_message(text: str) -> None:
    print(f"seedfold: {' '.join(text.split())}", file=sys.stderr)


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"seedfold {version('seedfold')}")
        context.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Machine-learning experiment matrices, done once, on the machine in front of you or a cluster.",
    epilog="A JOB is the first characters of its id, or its place: [STAGE] seed=3 fold=1.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print it.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """All commands; `LazyGroup` finds the one that is called."""
