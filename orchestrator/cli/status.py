"""``seedfold status STUDY``: counts by state and stage, failures with their reasons, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from seedfold.jobs.errors import UnreachableError, counted
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import (
    Line,
    columns_with_counts,
    counts_parts,
    counts_text,
    lines,
    print_json,
    say,
    show,
)
from seedfold.orchestrator.dispatch.queue_view import Outlook, look_ahead
from seedfold.orchestrator.ledger.copy_origin import home_of
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.overview import (
    JobView,
    Overview,
    axes_text,
    axis_counts,
    fallen,
    group_failures,
    name_of,
    notes,
    nothing_to_do,
    to_json,
)


@click.command()
@options.study
@click.option("--by", metavar="AXIS", help="Count by the values of an axis.")
@click.option("--superseded", is_flag=True, help="List the jobs that were replaced.")
@options.selecting
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str,
    by: str | None,
    superseded: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Say how a study stands: jobs by state and stage, failures grouped, with one example of each."""
    overview = Overview(root, study, depth="recent")
    selection = Selection.parse(where, stages, limit)
    outlook = look_ahead(root, overview.ledger)
    overview.refresh()
    views = overview.superseded(selection) if superseded else overview.places(selection)
    if as_json:
        print_json(to_json(study, views) | _dead_workers(overview, views) | _queue(outlook) | _home(overview))
    elif superseded:
        say(*(f"{view.state:<10} {name_of(view.job)}" for view in views))
    else:
        table = by_axis_parts(views, by) if by is not None else []
        show([*status_parts(overview, views), *lines(*outlook.lines(), style="yellow"), *table])
    context.exit(UnreachableError.exit_code if outlook.unreachable else 0)


def _queue(outlook: Outlook) -> dict[str, Any]:
    """One more key, where a scheduler has jobs waiting."""
    return {"queue": [asdict(one) for one in outlook.waiting]} if outlook.waiting else {}


def _home(overview: Overview) -> dict[str, Any]:
    """One more key, where the study lives elsewhere."""
    home = home_of(overview.folder)
    return {"copy": asdict(home)} if home else {}


def _dead_workers(overview: Overview, views: Sequence[JobView]) -> dict[str, Any]:
    """One more key, where there is something to say."""
    found = [one.to_dict() for one in fallen(overview, views)]
    return {"dead_workers": found} if found else {}


def status_parts(overview: Overview, views: Sequence[JobView]) -> list[Line]:
    """Counts, failures and notes of a study."""
    shape = to_json(overview.folder.name, views)
    stages: Mapping[str, Mapping[str, int]] = shape["stages"]
    title = f"{shape['study']}: {counted(shape['jobs'], 'job')}, {counts_text(shape['states'], STATES)}"
    parts = lines(title, style="bold")
    if len(stages) > 1:
        parts += counts_parts("stage", stages, columns_with_counts([shape["states"]], STATES))
    settled = lines(*nothing_to_do(views))
    return [*parts, *failure_parts(views), *settled, *lines(*notes(overview, views), style="yellow")]


def failure_parts(views: Sequence[JobView]) -> list[Line]:
    """Failures, one paragraph per kind and traceback, with one example of each."""
    parts: list[Line] = []
    for group in group_failures(views):
        example = group.example
        parts += lines(f"{group.jobs} failed, {group.kind}: {example['reason']}", style="red")
        parts += lines(f"  e.g. {example['id'][:12]} {axes_text(example['axes'])}, attempt {example['attempts']}")
        if example["log"]:
            parts += lines(f"  log  {example['log']}")
    return parts


def by_axis_parts(views: Sequence[JobView], axis: str) -> list[Line]:
    """A table of states by the values of an axis."""
    rows = axis_counts(views, axis)
    return counts_parts(axis, rows, columns_with_counts(rows.values(), STATES))
