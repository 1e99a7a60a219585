"""``seedfold rerun STUDY``: runs finished jobs again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.follow import wait_if_asked
from seedfold.orchestrator.cli.launch import print_started
from seedfold.orchestrator.cli.resume import parse_folder
from seedfold.orchestrator.cli.selected import say_selected
from seedfold.orchestrator.dispatch.rerun import rerun
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection


@click.command()
@options.study
@options.overrides
@click.option(
    "--stale", is_flag=True, help="Select jobs whose code, data or parents have changed since they were done."
)
@click.option("--folder", metavar="DIR", help="Folder of the project, if it has moved since the last launch.")
@options.wait
@options.selection
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    overrides: Sequence[str],
    stale: bool,
    folder: str | None,
    wait: bool | None,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Run finished jobs of a study again, from their beginning, and also the jobs that were computed from them.

    Say which: --stale, --where or --stage. A job keeps its result until the new one is complete.
    """
    if not (stale or where or stages or limit):
        raise UsageError(f"rerun {study}: select the jobs with --stale or, for example, with --where seed=1")
    add_folder_to_import_path()
    selection = Selection.parse(where, stages, limit)
    launched = rerun(
        root,
        study,
        overrides,
        selection=selection,
        only_stale=stale,
        folder=parse_folder(folder),
        tell=say_selected(selection, "run again"),
    )
    print_started(launched, "rerun")
    context.exit(wait_if_asked(root, launched, wait))
