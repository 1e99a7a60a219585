"""``seedfold cancel STUDY``: nothing is deleted; `resume` starts cancelled jobs again, from their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_text
from seedfold.orchestrator.dispatch.cancel import cancel
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import job_label

_MAX_LISTED = 10


@click.command()
@options.study
@click.option("--pending", is_flag=True, help="Leave running jobs alone.")
@options.selection
@options.as_json
@options.common
def command(
    study: str,
    pending: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Cancel the jobs of a study that are not done; running ones are killed and keep their checkpoints."""
    jobs = cancel(root, study, selection=Selection.parse(where, stages, limit), pending_only=pending)
    if as_json:
        print_json({"study": study, "cancelled": [job.id for job in jobs]})
        return
    if not jobs:
        print_text(f"{study}: nothing to cancel")
        return
    print_text(f"{study}: cancelled {count_noun(len(jobs), 'job')}; to start again: seedfold resume {study}")
    print_text(*(f"  {job_label(job)}" for job in jobs[:_MAX_LISTED]))
    if len(jobs) > _MAX_LISTED:
        print_text(f"  … and {len(jobs) - _MAX_LISTED} more")
