"""``seedfold logs JOB``: the log of an attempt; with ``-f`` also the lines that it prints from now on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_logs import AttemptLog, follow_log, read_log
from seedfold.orchestrator.state.job_lookup import find_job


@click.command()
@options.job
@click.option("-f", "--follow", "following", is_flag=True, help="Keep printing new lines until the attempt ends.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Number of the attempt; default: the latest.")
@options.within_study
@options.common
def command(job: Sequence[str], following: bool, attempt: int | None, study: str | None, root: Root) -> None:
    """Print the log of a JOB."""
    found = find_job(root, job, study)
    log = AttemptLog.find(root, found, attempt, allow_pending=following)
    for chunk in follow_log(log) if following else read_log(log):
        click.echo(chunk, nl=False)
