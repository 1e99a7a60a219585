"""``seedfold advance STUDY``: what is to follow on a cluster; launch, resume, status and watch do it, too."""

from __future__ import annotations

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.schedulers.advance import advance


@click.command()
@options.study
@options.common
def command(study: str, root: Root) -> None:
    """Submit what waits for room in the queue, try again what failed, close what ended without a word.

    Nothing is done twice, however often and from wherever this is called. `launch`, `resume`, `status` and `watch` do
    the same.
    """
    print_text(f"{study}: {advance(root, root.existing_study(study))}")
