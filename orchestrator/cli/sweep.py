"""``seedfold sweep --name NAME KEY=VALUES… -- COMMAND…``: a command for all combinations of values, as a study."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.follow import wait_if_asked
from seedfold.orchestrator.cli.launch import print_started
from seedfold.orchestrator.dispatch.launch import launch, make_plan
from seedfold.orchestrator.dispatch.pilot import pilot_request
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.layout import Root

_COMMAND_KEY = f"{__name__}.command"


class _WithCommand(click.Command):
    """A command whose arguments end with ``--`` and the words of another command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what follows the first ``--`` apart, whatever options it has."""
        place = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND_KEY] = tuple(args[place + 1 :])
        return super().parse_args(ctx, args[:place])


@click.command(cls=_WithCommand, options_metavar="--name NAME [OPTIONS]")
@click.argument("assignments", nargs=-1, metavar="KEY=VALUES… -- COMMAND…")
@click.option("--name", required=True, metavar="NAME", help="The name of the study.")
@options.wait
@click.option("--code", multiple=True, metavar="FILE", help="A file or folder that counts as code besides the script.")
@click.option("--metrics", metavar="FILE", help="A JSON or CSV file with metrics, in {folder} of the job.")
@click.option("--pattern", metavar="REGEX", help="Metrics in lines of output, such as 'acc=(?P<acc>[0-9.]+)'.")
@click.option("--replace", is_flag=True, help="Replace earlier jobs that have the same address and other settings.")
@options.pilot
@options.local
@click.pass_context
def command(
    context: click.Context,
    assignments: Sequence[str],
    name: str,
    wait: bool | None,
    code: Sequence[str],
    metrics: str | None,
    pattern: str | None,
    replace: bool,
    pilot: int | None,
    pilot_auto: bool,
    root: Root,
) -> None:
    """Run a COMMAND for all combinations of values. In its words, {KEY} stands for a value, and {folder} for the folder
    of the job, whose files are kept. Settings such as cluster=slurm or resources.time=2h are no axes.

    The study file that this means is kept in the study's folder. All other commands work with the study as usual.

    \b
      seedfold sweep --name mine lr=0.1,0.01 seed=0,1,2 -- python train.py --lr {lr} --seed {seed}
    """
    from seedfold.jobs.command_sweep import make_command_sweep

    add_folder_to_import_path()
    request = pilot_request(pilot, pilot_auto)
    others: dict[str, Any] = {"code": list(code)} if code else {}
    sources = {key: value for key, value in (("file", metrics), ("pattern", pattern)) if value is not None}
    others |= {"metrics": sources} if sources else {}
    sweep = make_command_sweep(name, assignments, context.meta[_COMMAND_KEY], _reserved_keys(), others)
    overrides = [f"experiment={name}", *sweep.settings]
    with tempfile.TemporaryDirectory() as scratch:
        # Nothing is written under the root if the sweep is refused.
        make_plan(root, overrides, [_write(Path(scratch), name, sweep.text)])
    root.mark_as_root()
    folder = _write(root.study_folder(name).path / "conf", name, sweep.text)
    launched = launch(root, overrides, config_dirs=[folder], replace=replace, pilot=request)
    print_started(launched, "sweep")
    print_text(f"study file: {folder / 'experiment' / f'{name}.yaml'}")
    for key in sweep.unused:
        print_text(f"{key} is in no word of the command; a program can read it with seedfold.current()", style="yellow")
    sys.stdout.flush()
    context.exit(wait_if_asked(root, launched, wait))


def _reserved_keys() -> frozenset[str]:
    """The keys that mean something in a study file: groups, and what describes a study."""
    from seedfold.jobs.compose import Composer
    from seedfold.jobs.study_keys import STUDY_CONVENTIONS

    groups = {path.name for path in Composer().primary.iterdir() if path.is_dir()}
    return frozenset({*groups, *STUDY_CONVENTIONS.study_keys, "command", "code", "metrics"})


def _write(folder: Path, name: str, text: str) -> Path:
    if not name.isidentifier() and not name.replace("-", "_").isidentifier():
        raise UsageError(f"--name {name}: a name has letters, digits, _ and -")
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "experiment" / f"{name}.yaml", [text])
    return folder
