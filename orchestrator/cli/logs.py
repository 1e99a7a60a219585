"""``seedfold logs JOB``: the log of an attempt; with ``-f`` also the lines that it prints from now on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.terminal_text import terminal_log
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_logs import AttemptLog, follow_log, read_log
from seedfold.orchestrator.state.job_lookup import find_job


@click.command()
@options.job
@click.option("-f", "--follow", "following", is_flag=True, help="Keep printing new lines until the attempt ends.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Number of the attempt; default: the latest.")
@click.option("--raw", is_flag=True, help="Print every byte as it is, also those that control the terminal.")
@options.within_study
@options.common
def command(job: Sequence[str], following: bool, attempt: int | None, raw: bool, study: str | None, root: Root) -> None:
    """Print the log of a JOB, without colours and other control characters."""
    found = find_job(root, job, study)
    log = AttemptLog.find(root, found, attempt, allow_pending=following)
    chunks = follow_log(log) if following else read_log(log)
    for chunk in chunks if raw else terminal_log(chunks):
        click.echo(chunk, nl=False)
