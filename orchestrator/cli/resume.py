"""``seedfold resume STUDY``: start exactly what is neither done nor alive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import import_from_here
from seedfold.orchestrator.cli.follow import stay_or_leave
from seedfold.orchestrator.cli.launch import say_started
from seedfold.orchestrator.dispatch.resume import resume
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.study
@options.overrides
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Jobs that failed so, e.g. oom_host; repeatable.")
@click.option(
    "--code",
    type=options.Choice(["today", "original"]),
    default="today",
    help="Run the code as it is now, or as each job's last submission had it.",
)
@click.option("--folder", metavar="DIR", help="The project's folder, where it is not that of the last launch any more.")
@options.waiting
@options.selecting
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    overrides: Sequence[str],
    kinds: Sequence[str],
    code: str,
    folder: str | None,
    wait: bool | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Start a study's jobs that failed, were cancelled or interrupted, or still wait, from their checkpoints.

    Overrides may change what does not identify a job, such as resources.memory=80GB.
    """
    import_from_here()
    selection = Selection.parse(where, stages, limit)
    launched = resume(
        root,
        study,
        overrides,
        selection=selection,
        kinds=kinds,
        original_code=code == "original",
        folder=_folder(folder),
    )
    say_started(launched)
    context.exit(stay_or_leave(root, launched, wait))


def _folder(given: str | None) -> Path | None:
    folder = None if given is None else Path(given).absolute()
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--folder {folder}: no such folder")
    return folder
