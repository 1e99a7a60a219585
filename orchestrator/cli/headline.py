"""The table of results on the terminal: for `results`, and as the last words of a launch that somebody waited for."""

from __future__ import annotations

from typing import Any

from seedfold.orchestrator.cli.table_output import TableOutput
from seedfold.orchestrator.state.finished_jobs import FinishedJobs, find_by_code
from seedfold.orchestrator.state.overview import Overview, note_removed
from seedfold.orchestrator.views.tables import TableRequest, make_result_table, select_code
from seedfold.results.evaluation.axes import axis_names
from seedfold.results.evaluation.problem_axes import is_repetition, problem_axes


def write_result_table(
    overview: Overview,
    finished: FinishedJobs,
    name: str,
    output: TableOutput,
    sort: str | None = None,
    **options: Any,
) -> None:
    """Write a table of the finished jobs; ``options`` are those of `TableRequest`, which says what is raised.

    With ``sort``, notes on a table of means say which setting is the best, and how sure that is.
    """
    from seedfold.results.comparison.best_of_means import best_of_means
    from seedfold.results.tables.metric_means import NOTES

    request = TableRequest.of_study(overview, finished, **options)
    frame = make_result_table(name, request, summarized=not output.is_for_programs)
    axes = axis_names(finished.jobs)
    # The better of two versions of the code is no better method: the best is marked within each.
    apart = [axis for axis in axes if is_repetition(axis) or axis == finished.code_axis.name]
    problem = [*problem_axes(axes, request.compare), *apart]
    removed = note_removed(overview)
    chosen = select_code(request)
    best = (
        best_of_means(frame, chosen.runs, sort, chosen.where or None, request.compare)
        if sort and name == "metrics"
        else []
    )
    notes = [] if len(frame) else ["no finished job meets the conditions"]
    notes += [each.text for each in best]
    notes += frame.attrs.get(NOTES, ())
    notes += [removed] if removed else []
    notes += finished.notes(overview.folder.name)
    output.write(frame, axes, problem, notes, sort)


def print_headline(overview: Overview) -> None:
    """Print what `seedfold results STUDY` prints; nothing if no job has a metric."""
    from seedfold.results.store.published import load_result

    finished = find_by_code(overview)
    if any(load_result(run.folder).metrics for run in finished.jobs):
        output = TableOutput.from_options({"format": None, "out": None, "decimals": None, "wide": False})
        write_result_table(overview, finished, "metrics", output)
