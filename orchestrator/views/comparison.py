"""Comparisons of finished jobs: values of an axis within a study, two studies, or two jobs sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.finished_jobs import FinishedJobs, find_by_code
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.state.stale_lines import package_lines
from seedfold.results.evaluation.axes import Group, axis_names, select_runs
from seedfold.results.evaluation.metric_names import is_name_of
from seedfold.results.store.finished_job import Addressed, FinishedJob

if TYPE_CHECKING:
    from seedfold.results.comparison.pairs import Comparison

STUDY = "study"
"""The name of the compared axis if two studies are compared."""
_MAX_LISTED = 5
_ROW_COLUMNS = ("split", "head", "metric")


@dataclass(frozen=True)
class ComparisonRequest:
    """What is compared. If ``metrics`` or ``splits`` is empty, all of them are.

    With ``samples``, models are compared sample by sample in place of job by job.
    """

    metrics: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    where: str = ""
    samples: bool = False

    @property
    def conditions(self) -> str:
        """The conditions on jobs and rows."""
        return " ".join([self.where, *([f"split={','.join(self.splits)}"] if self.splits else [])]).strip()


@dataclass(frozen=True)
class ComparisonTable:
    """Rows for scripts, and notes for people."""

    rows: list[dict[str, Any]]
    notes: list[str]


def compare_axis(overview: Overview, over: str, request: ComparisonRequest) -> ComparisonTable:
    """Compare each two values of an axis of a study.

    Raises UsageError if no job is done, for an unknown axis, metric or split, and if no jobs can be paired.
    """
    finished = _finished(overview)
    planned = finished.with_code(overview.jobs_by_address().values())
    table = _compare(finished.jobs, planned, over, request)
    return replace(table, notes=[*table.notes, *finished.notes(overview.folder.name)])


def compare_studies(first: Overview, second: Overview, request: ComparisonRequest) -> ComparisonTable:
    """Compare the jobs of two studies that have the same stage and axes. Raises UsageError as `compare_axis` does."""
    finished = [(overview, _finished(overview)) for overview in (first, second)]
    runs = [_with_study(run, overview) for overview, found in finished for run in found.jobs]
    planned: list[Addressed] = [
        Group(job.stage, {**job.axes, STUDY: overview.folder.name}, ())
        for overview, found in finished
        for job in found.with_code(overview.jobs_by_address().values())
    ]
    table = _compare(runs, planned, STUDY, request)
    return replace(table, notes=[*table.notes, *_notes_of_studies(finished)])


def _notes_of_studies(finished: Sequence[tuple[Overview, FinishedJobs]]) -> list[str]:
    names = [overview.folder.name for overview, _ in finished]
    found = [f"{name}: {note}" for name, (_, jobs) in zip(names, finished, strict=True) for note in jobs.notes(name)]
    together = [view for _, jobs in finished for view in jobs.views]
    return list(dict.fromkeys([*found, *package_lines(together, finished[0][1].comparison)]))


def _with_study(run: FinishedJob, overview: Overview) -> FinishedJob:
    return replace(run, axes={**run.axes, STUDY: overview.folder.name})


def _finished(overview: Overview) -> FinishedJobs:
    finished = find_by_code(overview)
    if not finished.jobs:
        name = overview.folder.name
        raise UsageError(f"{name}: no job is done yet; see seedfold status {name}")
    return finished


def _compare(
    runs: Sequence[FinishedJob], planned: Sequence[Addressed], over: str, request: ComparisonRequest
) -> ComparisonTable:
    _check_splits(runs, request.splits)
    compare = _compare_samples if request.samples else _compare_metrics
    rows, comparisons, notes = compare(runs, planned, over, request)
    return ComparisonTable(rows, [*_unpaired_notes(comparisons), *notes])


def _compare_metrics(
    runs: Sequence[FinishedJob], planned: Sequence[Addressed], over: str, request: ComparisonRequest
) -> tuple[list[dict[str, Any]], list[Comparison], list[str]]:
    from seedfold.results.comparison.paired_metrics import compare_values

    found = compare_values(runs, over, planned=planned, metrics=request.metrics, where=request.conditions or None)
    comparisons = list({id(row.comparison): row.comparison for row in found}.values())
    return [row.to_dict() for row in found], comparisons, _shortened([note for row in found for note in row.notes])


def _compare_samples(
    runs: Sequence[FinishedJob], planned: Sequence[Addressed], over: str, request: ComparisonRequest
) -> tuple[list[dict[str, Any]], list[Comparison], list[str]]:
    from seedfold.results.comparison.paired_samples import compare_samples
    from seedfold.results.comparison.pairs import find_comparisons, select_places

    chosen, _ = select_runs(runs, request.where or None, _ROW_COLUMNS)
    comparisons = find_comparisons(chosen, over, select_places(planned, request.where))
    rows = compare_samples(comparisons, request.splits)
    kept = [row for row in rows if not request.metrics or any(_is_named(row, name) for name in request.metrics)]
    if not kept:
        raise UsageError("--samples: no two of these jobs have predictions of classes; leave --samples out")
    return kept, comparisons, []


def _is_named(row: Mapping[str, Any], name: str) -> bool:
    return is_name_of(name, row["metric"], row["split"], row["head"])


def _check_splits(runs: Sequence[FinishedJob], splits: Sequence[str]) -> None:
    from seedfold.results.store.published import load_result

    if not splits:
        return
    known = sorted({each["split"] for run in runs for each in load_result(run.folder).metrics})
    listed = ", ".join(known) or "none"
    for split in splits:
        if split not in known:
            raise UsageError(f"--split {split}: no run has this split{did_you_mean(split, known)}; splits: {listed}")


def _unpaired_notes(comparisons: Sequence[Comparison]) -> list[str]:
    return _shortened([f"no pair: {text}" for each in comparisons for text in each.unpaired])


def _shortened(notes: Sequence[str]) -> list[str]:
    unique = list(dict.fromkeys(notes))
    more = [f"… and {len(unique) - _MAX_LISTED} more"] if len(unique) > _MAX_LISTED else []
    return [*unique[:_MAX_LISTED], *more]


def axes_of(root: Root, study: str) -> list[str]:
    """Return the axes of a study's jobs, for a message."""
    return axis_names(Overview(root, study).jobs_by_address().values())
