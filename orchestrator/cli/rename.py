"""``seedfold rename OLD NEW``: gives a study another name."""

from __future__ import annotations

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.dispatch.removal import rename_study
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.layout import Root


@click.command()
@options.study
@click.argument("new", metavar="NEW")
@options.common
def command(study: str, new: str, root: Root) -> None:
    """Give a study another name. Results and what other studies share with it stay as they are.

    A study of which jobs run or are queued is not renamed, and neither is one from which jobs of others read now.
    """
    renamed = rename_study(root, study, new)
    print_text(f"study {study} is now {renamed.name}; to launch it again, add study={renamed.name}")
    if renamed.report_file.exists():
        print_text(f"its report has the old name; to write it anew: seedfold report {renamed.name}")
    if is_copy(renamed):
        print_text(f"it is a copy: seedfold fetch {study} would make another one", style="yellow")
