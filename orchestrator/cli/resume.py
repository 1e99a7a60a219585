"""``seedfold resume STUDY``: starts the jobs that are neither done nor queued nor running."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.follow import wait_if_asked
from seedfold.orchestrator.cli.launch import print_started, start_beside_others
from seedfold.orchestrator.cli.selected import say_selected
from seedfold.orchestrator.dispatch.resume import resume
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.study
@options.overrides
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    help="Start only failed jobs of this failure kind, e.g. oom_host; repeatable.",
)
@click.option("--keep-cancelled", is_flag=True, help="Leave cancelled jobs cancelled.")
@click.option(
    "--code",
    type=options.Choice(["today", "original"]),
    default="today",
    help="Run the code as it is now (today), or as it was at each job's last submission (original). Default: today.",
)
@click.option("--folder", metavar="DIR", help="Folder of the project, if it has moved since the last launch.")
@options.wait
@options.now
@options.accept_code
@options.selection
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    overrides: Sequence[str],
    kinds: Sequence[str],
    keep_cancelled: bool,
    code: str,
    folder: str | None,
    wait: bool | None,
    now: bool,
    accept_code: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Start the jobs of a study that failed, were cancelled, were interrupted or never ran. They continue from their
    checkpoints.

    Overrides may only change keys that are not part of a job's id, such as resources.memory=80GB.
    """
    add_folder_to_import_path()
    selection = Selection.parse(where, stages, limit)
    launched = resume(
        root,
        study,
        overrides,
        selection=selection,
        kinds=kinds,
        keep_cancelled=keep_cancelled,
        original_code=code == "original",
        folder=parse_folder(folder),
        accept=accept_code,
        tell=say_selected(selection, "start"),
    )
    print_started(launched, "resume")
    if now:
        start_beside_others(launched)
    context.exit(wait_if_asked(root, launched, wait))


def parse_folder(text: str | None) -> Path | None:
    """Return the folder. Raises UsageError if there is none."""
    folder = None if text is None else Path(text).absolute()
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--folder {folder}: no such folder")
    return folder
