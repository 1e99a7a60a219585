"""``seedfold advance STUDY``: does what can be done now on a cluster. launch, resume, status and watch do this too."""

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
    """Advance a study on a cluster: submit jobs that wait for room in the queue, submit retries of failed jobs, and
    record the ends of tasks that could not record them themselves. You need this command rarely, because launch,
    resume, status and watch do the same.

    It may be called at any time and several times at once: nothing is done twice.
    """
    print_text(f"{study}: {advance(root, root.existing_study(study))}")
