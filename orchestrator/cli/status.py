"""``seedfold status STUDY``: counts by state and stage, failures with their reasons, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import click

from seedfold.jobs.errors import UnreachableError, count_noun
from seedfold.jobs.study_keys import SEARCH
from seedfold.jobs.times_text import about_text, clock_text
from seedfold.orchestrator.cli import completion_values, options
from seedfold.orchestrator.cli.console import (
    StyledLine,
    counts_table,
    counts_text,
    make_lines,
    nonzero_columns,
    output_width,
    print_json,
    print_lines,
    print_note,
    print_text,
    wrap_lines,
)
from seedfold.orchestrator.cli.ls import print_studies
from seedfold.orchestrator.cli.pager import with_pager
from seedfold.orchestrator.cli.running_rows import epoch_text, metric_text, running_rows
from seedfold.orchestrator.cli.stage_bars import stage_lines
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.axes_text import axes_text
from seedfold.orchestrator.state.failure_places import find_failure_places
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.kept_answer import (
    KeptAnswer,
    find_marks,
    is_worth_keeping,
    keep_answer,
    read_answer,
)
from seedfold.orchestrator.state.overview import (
    JobView,
    Overview,
    count_by_axis_value,
    dead_workers_of,
    group_failures,
    job_label,
    nothing_to_do_lines,
    removed_ids,
    status_notes,
    status_to_json,
)
from seedfold.orchestrator.state.running_jobs import RunningJob
from seedfold.orchestrator.state.stage_progress import StudyProgress
from seedfold.orchestrator.state.stale_lines import WaysOn, package_lines, stale_lines
from seedfold.orchestrator.state.study_logs import varying_axes
from seedfold.orchestrator.worker.notification import notify_of_end, wants_notice

if TYPE_CHECKING:
    from seedfold.orchestrator.search.study_search import StudySearch

_RUNNING_SHOWN = 8
_SEARCHES: WeakKeyDictionary[Overview, StudySearch] = WeakKeyDictionary()


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
@with_pager
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
    selection = Selection.parse(where, stages, limit)
    folder = root.existing_study(study)
    may_be_kept = selection == Selection() and not (by or superseded or with_removed) and not wants_notice({})
    marks = find_marks(folder) if may_be_kept and is_worth_keeping(folder) else None
    answer = None if marks is None else read_answer(folder, marks)
    if answer is not None:
        _print_answer(study, answer, as_json)
        return
    overview = Overview(root, study, result_check="recent", with_removed=with_removed)
    queue_view = advance_and_view_queue(root, overview.ledger)
    overview.refresh()
    if note := notify_of_end(overview.states):
        print_note(note)
    views = overview.superseded_views(selection) if superseded else overview.job_views(selection)
    if marks is not None and not wants_notice(overview.settings):
        keep_answer(overview, views, marks)
    if as_json:
        print_json(
            status_to_json(study, views)
            | _progress_json(overview, views, queue_view)
            | {"removed": len(removed_ids(overview)), "throttle": overview.ledger.throttle.limit}
            | _dead_workers_json(overview, views)
            | _search_json(overview)
            | _queue_json(queue_view)
            | _copy_json(overview)
        )
    elif superseded:
        print_text(*(f"{view.state:<10} {job_label(view.job)}" for view in views))
    else:
        table = axis_lines(views, by) if by is not None else []
        print_lines([*status_lines(overview, views, queue_view), *table])
    context.exit(UnreachableError.exit_code if queue_view.unreachable else 0)


def _print_answer(study: str, answer: KeptAnswer, as_json: bool) -> None:
    """Print what was kept of a study at rest, with what has changed around it since."""
    if as_json:
        print_json(answer.counts | {"eta_s": None, "running": [], "removed": 0, "throttle": None})
        return
    notes = [*stale_lines(answer.views, WaysOn.by_command(study)), *package_lines(answer.views, answer.code)]
    lines = [title_line(answer.counts), *progress_lines(answer.counts, answer.progress, set())]
    lines += make_lines(*notes, style="yellow")
    print_lines(wrap_lines(lines, output_width()) if sys.stdout.isatty() else lines)


def _progress_json(overview: Overview, views: Sequence[JobView], queue_view: QueueView) -> dict[str, Any]:
    """The keys ``eta_s``, in how many seconds the study will have ended (or None), and ``running``."""
    progress = StudyProgress.find(overview, views, queue_view.seconds_to_first_start())
    return {"eta_s": progress.left_s, "running": [job.to_json() for job in progress.running]}


def _search_json(overview: Overview) -> dict[str, Any]:
    """The key ``search``, if the study searches."""
    if not searches(overview):
        return {}
    from seedfold.orchestrator.search.analysis import search_summary

    search = _search_of(overview)
    return {"search": search_summary(search.settings, search.history())}


def searches(overview: Overview) -> bool:
    """Whether a study searches: nothing of a search is imported or read for other studies."""
    return SEARCH in overview.settings


def search_lines_of(overview: Overview) -> list[StyledLine]:
    """What the search of a study has found so far; nothing for a study without one."""
    if not searches(overview):
        return []
    from seedfold.orchestrator.search.summary import search_lines

    return make_lines(*search_lines(_search_of(overview)))


def _search_of(overview: Overview) -> StudySearch:
    """The search of a study, whose decisions are read once for everybody who looks at it again and again."""
    from seedfold.orchestrator.search.study_search import StudySearch

    search = _SEARCHES.get(overview)
    if search is None:
        search = _SEARCHES[overview] = StudySearch(overview.states)
    search.refresh()
    return search


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


def status_lines(
    overview: Overview, views: Sequence[JobView], queue_view: QueueView | None = None, *, with_progress: bool = True
) -> list[StyledLine]:
    """Counts, failures and notes of a study; ``with_progress`` adds what changes all the time."""
    queue_view = queue_view or QueueView()
    if with_progress:
        lines = progress_of_views(overview, views, queue_view)
    else:
        counts = status_to_json(overview.folder.name, views)
        lines = [title_line(counts), *_stage_table(counts), *search_lines_of(overview)]
    nothing_left = make_lines(*nothing_to_do_lines(views))
    notes = make_lines(*status_notes(overview, views), *queue_view.lines(), style="yellow")
    lines += [*failure_lines(views), *nothing_left, *notes]
    return wrap_lines(lines, output_width()) if sys.stdout.isatty() else lines


def progress_of_views(
    overview: Overview, views: Sequence[JobView], queue_view: QueueView | None = None
) -> list[StyledLine]:
    """The counts of jobs, and how far they are."""
    counts = status_to_json(overview.folder.name, views)
    progress = StudyProgress.find(overview, views, queue_view.seconds_to_first_start() if queue_view else None)
    # The rows of running jobs show these; a study that only rests is not read for them.
    axes = varying_axes(overview.jobs_at_addresses().values()) if progress.running else set()
    return [title_line(counts), *search_lines_of(overview), *progress_lines(counts, progress, axes)]


def title_line(counts: Mapping[str, Any]) -> StyledLine:
    """The name of the study, and its jobs by state."""
    jobs = count_noun(counts["jobs"], "job")
    return StyledLine(f"{counts['study']}: {jobs}, {counts_text(counts['states'], STATES)}", "bold")


def _stage_table(counts: Mapping[str, Any]) -> list[StyledLine]:
    stages: Mapping[str, Mapping[str, int]] = counts["stages"]
    return counts_table("stage", stages, nonzero_columns([counts["states"]], STATES)) if len(stages) > 1 else []


def progress_lines(counts: Mapping[str, Any], progress: StudyProgress, axes: Collection[str]) -> list[StyledLine]:
    """The stages, when the study will end, and what runs; on a terminal with bars, as many jobs as are easily read."""
    if sys.stdout.isatty():
        lines = stage_lines(progress.stages, output_width())
        shown = progress.running[:_RUNNING_SHOWN]
        rows = running_rows(shown, output_width(), axes, len(progress.stages) > 1)
        running = make_lines(*(text for row in rows for text in row))
    else:
        lines = [*_stage_table(counts), *_stage_end_lines(progress)]
        running = make_lines(*(f"  {running_text(job)}" for job in progress.running[:_RUNNING_SHOWN]))
    more = len(progress.running) - _RUNNING_SHOWN
    return [
        *lines,
        *end_lines(progress),
        *running,
        *(make_lines(f"  … and {more} more are running") if more > 0 else []),
    ]


def _stage_end_lines(progress: StudyProgress) -> list[StyledLine]:
    """When the stages that run will end, where nothing is known of the end of the study."""
    known = [(stage.stage, stage.left_s) for stage in progress.stages if stage.left_s is not None]
    told = known if progress.left_s is None else []
    return make_lines(*(f"{stage} is expected to end in {about_text(seconds)}" for stage, seconds in told))


def end_lines(progress: StudyProgress) -> list[StyledLine]:
    """When the study is expected to end, as far as that is known."""
    if progress.left_s is None:
        return []
    now = datetime.now()
    at = clock_text(now + timedelta(seconds=progress.left_s), now)
    return make_lines(f"expected to end in {about_text(progress.left_s)}, at {at}")


def running_text(job: RunningJob) -> str:
    """One line: the job, how far it is, its metric and whether that went up or down, its host and GPU."""
    return "  ".join(filter(None, [job_label(job.job), epoch_text(job), metric_text(job), job.place]))


def failure_lines(views: Sequence[JobView]) -> list[StyledLine]:
    """Failures, one paragraph per kind and traceback, with one example of each."""
    paragraphs: list[StyledLine] = []
    groups = group_failures(views)
    for group, place in zip(groups, find_failure_places(groups, views), strict=True):
        example = group.example
        address = axes_text(example["axes"])
        paragraphs += make_lines(f"{group.job_count} failed, {group.kind}: {example['reason']}", style="red")
        paragraphs += make_lines(*([f"  {place.text}"] if place.text else []))
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
