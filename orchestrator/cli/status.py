"""``seedfold status STUDY``: counts by state and stage, failures with their reasons, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import (
    StyledLine,
    counts_table,
    counts_text,
    make_lines,
    nonzero_columns,
    print_json,
    print_lines,
    print_text,
)
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.overview import (
    JobView,
    Overview,
    axes_text,
    count_by_axis_value,
    dead_workers_of,
    group_failures,
    job_label,
    nothing_to_do_lines,
    removed_ids,
    status_notes,
    status_to_json,
)


@click.command()
@options.study
@click.option("--by", metavar="AXIS", help="Also count the jobs for each value of this axis.")
@click.option("--superseded", is_flag=True, help="List the superseded jobs, which later launches replaced.")
@options.with_removed
@options.selection
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    by: str | None,
    superseded: bool,
    with_removed: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Show the state of a study: the number of jobs by state and stage, and groups of equal failures, each with one
    example.

    On a cluster it also submits the jobs that are due, as `seedfold advance` does.
    """
    overview = Overview(root, study, result_check="recent", with_removed=with_removed)
    selection = Selection.parse(where, stages, limit)
    queue_view = advance_and_view_queue(root, overview.ledger)
    overview.refresh()
    views = overview.superseded_views(selection) if superseded else overview.job_views(selection)
    if as_json:
        print_json(
            status_to_json(study, views)
            | {"removed": len(removed_ids(overview))}
            | _dead_workers_json(overview, views)
            | _queue_json(queue_view)
            | _copy_json(overview)
        )
    elif superseded:
        print_text(*(f"{view.state:<10} {job_label(view.job)}" for view in views))
    else:
        table = axis_lines(views, by) if by is not None else []
        print_lines([*status_lines(overview, views), *make_lines(*queue_view.lines(), style="yellow"), *table])
    context.exit(UnreachableError.exit_code if queue_view.unreachable else 0)


def _queue_json(queue_view: QueueView) -> dict[str, Any]:
    """The key ``queue``, if jobs wait in a scheduler's queue."""
    return {"queue": [asdict(one) for one in queue_view.queued]} if queue_view.queued else {}


def _copy_json(overview: Overview) -> dict[str, Any]:
    """The key ``copy``, if the study is a copy."""
    origin = read_copy_origin(overview.folder)
    return {"copy": asdict(origin)} if origin else {}


def _dead_workers_json(overview: Overview, views: Sequence[JobView]) -> dict[str, Any]:
    """The key ``dead_workers``, if there are any."""
    workers = [one.to_dict() for one in dead_workers_of(overview, views)]
    return {"dead_workers": workers} if workers else {}


def status_lines(overview: Overview, views: Sequence[JobView]) -> list[StyledLine]:
    """Counts, failures and notes of a study."""
    counts = status_to_json(overview.folder.name, views)
    stages: Mapping[str, Mapping[str, int]] = counts["stages"]
    title = f"{counts['study']}: {count_noun(counts['jobs'], 'job')}, {counts_text(counts['states'], STATES)}"
    status = make_lines(title, style="bold")
    if len(stages) > 1:
        status += counts_table("stage", stages, nonzero_columns([counts["states"]], STATES))
    nothing_left = make_lines(*nothing_to_do_lines(views))
    return [*status, *failure_lines(views), *nothing_left, *make_lines(*status_notes(overview, views), style="yellow")]


def failure_lines(views: Sequence[JobView]) -> list[StyledLine]:
    """Failures, one paragraph per kind and traceback, with one example of each."""
    paragraphs: list[StyledLine] = []
    for group in group_failures(views):
        example = group.example
        address = axes_text(example["axes"])
        paragraphs += make_lines(f"{group.job_count} failed, {group.kind}: {example['reason']}", style="red")
        paragraphs += make_lines(
            f"  e.g. {example['id'][:12]}{address and f' {address}'}, attempt {example['attempts']}"
        )
        if example["log"]:
            paragraphs += make_lines(f"  log  {example['log']}")
    return paragraphs


def axis_lines(views: Sequence[JobView], axis: str) -> list[StyledLine]:
    """A table of states by the values of an axis."""
    rows = count_by_axis_value(views, axis)
    return counts_table(axis, rows, nonzero_columns(rows.values(), STATES))
