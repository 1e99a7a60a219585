"""``seedfold status STUDY``: counts by state and stage, failures with their reasons, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.orchestrator.cli import completion_values, options
from seedfold.orchestrator.cli.console import (
    StyledLine,
    about_text,
    counts_table,
    counts_text,
    make_lines,
    nonzero_columns,
    print_json,
    print_lines,
    print_note,
    print_text,
)
from seedfold.orchestrator.cli.ls import print_studies
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.expected_end import seconds_to_end
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
from seedfold.orchestrator.state.running_jobs import RunningJob, find_running
from seedfold.orchestrator.worker.notification import notify_of_end

_RUNNING_SHOWN = 8


@click.command()
@options.study_or_all
@click.option(
    "--by",
    metavar="AXIS",
    shell_complete=completion_values.axes,
    help="Also count the jobs for each value of this axis.",
)
@click.option("--superseded", is_flag=True, help="List the superseded jobs, which later launches replaced.")
@options.with_removed
@options.selection
@options.as_json
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str | None,
    by: str | None,
    superseded: bool,
    with_removed: bool,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    as_json: bool,
    root: Root,
) -> None:
    """Show the state of a study: the number of jobs by state and stage, when it will end, what the running jobs are
    doing, and groups of equal failures, each with one example. Without a study, list the studies as `seedfold ls` does.

    On a cluster it also submits the jobs that are due, as `seedfold advance` does.
    """
    if study is None:
        options.refuse_without_study(context)
        print_studies(root, as_json)
        return
    overview = Overview(root, study, result_check="recent", with_removed=with_removed)
    selection = Selection.parse(where, stages, limit)
    queue_view = advance_and_view_queue(root, overview.ledger)
    overview.refresh()
    if note := notify_of_end(overview.states):
        print_note(note)
    views = overview.superseded_views(selection) if superseded else overview.job_views(selection)
    if as_json:
        print_json(
            status_to_json(study, views)
            | _progress_json(views)
            | {"removed": len(removed_ids(overview)), "throttle": overview.ledger.throttle.limit}
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


def _progress_json(views: Sequence[JobView]) -> dict[str, Any]:
    """The keys ``eta_s``, in how many seconds the study will have ended (or None), and ``running``."""
    running = find_running(views)
    return {"eta_s": seconds_to_end(views, running), "running": [job.to_json() for job in running]}


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


def status_lines(overview: Overview, views: Sequence[JobView], *, with_progress: bool = True) -> list[StyledLine]:
    """Counts, failures and notes of a study; ``with_progress`` adds what changes all the time."""
    counts = status_to_json(overview.folder.name, views)
    stages: Mapping[str, Mapping[str, int]] = counts["stages"]
    title = f"{counts['study']}: {count_noun(counts['jobs'], 'job')}, {counts_text(counts['states'], STATES)}"
    status = make_lines(title, style="bold")
    if len(stages) > 1:
        status += counts_table("stage", stages, nonzero_columns([counts["states"]], STATES))
    status += progress_lines(views) if with_progress else []
    nothing_left = make_lines(*nothing_to_do_lines(views))
    return [*status, *failure_lines(views), *nothing_left, *make_lines(*status_notes(overview, views), style="yellow")]


def progress_lines(views: Sequence[JobView]) -> list[StyledLine]:
    """When the study will end, and what the running jobs are doing; as many of them as are easily read."""
    running = find_running(views)
    seconds = seconds_to_end(views, running)
    lines = make_lines(f"expected to end in {about_text(seconds)}") if seconds is not None else []
    lines += [one for job in running[:_RUNNING_SHOWN] for one in make_lines(f"  {running_text(job)}")]
    more = len(running) - _RUNNING_SHOWN
    return lines + (make_lines(f"  … and {more} more are running") if more > 0 else [])


def running_text(job: RunningJob) -> str:
    """One line: the job, how far it is, its metric and whether that went up or down, its host."""
    parts = [job_label(job.job)]
    if job.epoch is not None:
        parts.append(f"{job.epoch} of {job.epochs}" if job.epochs else f"{job.epoch} done")
    if job.metric is not None and job.value is not None:
        parts.append(f"{job.metric} {job.value:.4g}{_trend(job)}")
    parts.append(job.host)
    return "  ".join(filter(None, parts))


def _trend(job: RunningJob) -> str:
    if job.previous is None or job.value is None or job.value == job.previous:
        return ""
    return " ↑" if job.value > job.previous else " ↓"


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
