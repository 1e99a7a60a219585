"""``seedfold cancel STUDY``: nothing is deleted; `resume` starts cancelled jobs again, from their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import click

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_note, print_text
from seedfold.orchestrator.cli.selected import say_selected
from seedfold.orchestrator.dispatch.cancel import CancelResult, cancel
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.overview import job_label

_MAX_LISTED = 10


@click.command()
@options.study
@click.option("--pending", is_flag=True, help="Cancel only jobs that have not begun.")
@options.selection
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    pending: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Cancel the jobs of a study that are not done. Running jobs are killed; their checkpoints are kept.

    A running job that is done before its worker hears of it stays done.
    """
    selection = Selection.parse(where, stages, limit)
    tell = None if as_json else say_selected(selection, "cancel")
    cancelled = cancel(root, study, selection=selection, pending_only=pending, tell=tell)
    if as_json:
        running = [job.id for job in cancelled.running]
        found = {"study": study, "cancelled": [job.id for job in cancelled.jobs], "running": running}
        print_json({**found, "of_others": cancelled.of_others})
    else:
        _print_cancelled(study, cancelled)
    note = cancelled.note(study)
    if note:
        print_note(note)
        context.exit(UnreachableError.exit_code)


def _print_cancelled(study: str, cancelled: CancelResult) -> None:
    jobs = cancelled.jobs
    if not jobs:
        print_text(f"{study}: nothing to cancel")
        return
    print_text(f"{study}: cancelled {count_noun(len(jobs), 'job')}; to start them again: seedfold resume {study}")
    print_text(*(f"  {job_label(job)}" for job in jobs[:_MAX_LISTED]))
    if len(jobs) > _MAX_LISTED:
        print_text(f"  … and {len(jobs) - _MAX_LISTED} more")
    for user, count in sorted(cancelled.of_others.items()):
        print_text(f"{user} had submitted {count} of them")
    if cancelled.running:
        still_running = count_noun(len(cancelled.running), "of them still runs", "of them still run")
        print_text(f"{still_running} and will be stopped; a job that is done before that stays done")
