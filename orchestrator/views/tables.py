"""The tables of a study by name, as `results` knows them, for people to read or with every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.orchestrator.state.finished_jobs import reasons_without_result
from seedfold.orchestrator.state.overview import Overview
from seedfold.results.store.finished_job import FinishedJob

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("runs", "metrics", "predictions", "oof", "ensemble", "top")
FOLD = "fold"


@dataclass(frozen=True, slots=True)
class TableRequest:
    """What a table is made of. ``planned`` are all jobs of the study: they tell what is missing."""

    runs: Sequence[FinishedJob]
    planned: Sequence[JobDescription] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why planned jobs have no result, by id."""
    compare: Sequence[str] | None = None
    """The axes of the methods that the study compares, where it says so."""
    where: str = ""
    splits: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    partial: bool = False
    member_choice: Mapping[str, Any] = field(default_factory=dict)
    """Which members the table ``top`` is made of; see `seedfold.results.ensembles.top_members.Choice`."""

    @property
    def shared_arguments(self) -> dict[str, Any]:
        """Arguments that out-of-fold tables and ensembles share."""
        return {"partial": self.partial, "planned": self.planned, "where": self.where or None}

    @classmethod
    def of_study(cls, overview: Overview, runs: Sequence[FinishedJob], **options: Any) -> TableRequest:
        """Return the request for a table of a study's finished jobs ``runs``."""
        planned, reasons = list(overview.jobs_by_address().values()), reasons_without_result(overview, runs)
        return cls(runs, planned, reasons, overview.report_settings.compare, **options)

    @property
    def splits_or_none(self) -> tuple[str, ...] | None:
        """The splits asked for; None for all."""
        return self.splits or None


def make_result_table(name: str, request: TableRequest, summarized: bool = False) -> pd.DataFrame:
    """Return a table. ``summarized``: means and metrics in place of the rows that they are computed from.

    Raises UsageError for options that the table does not have, and for missing folds or members.
    """
    if request.by and name != "metrics":
        raise UsageError(f"--by: the table {name} has no means; it goes with metrics")
    if request.member_choice and name != "top":
        raise UsageError(f"--min-accuracy, --rank-by, --member: the table {name} ranks nothing; they go with top")
    if request.over and name in {"runs", "predictions", "top"}:
        raise UsageError(f"--over: the table {name} averages over nothing; it goes with metrics, oof and ensemble")
    if request.by and request.over:
        raise UsageError("--by and --over exclude each other: --by names the axes that stay, --over those that do not")
    functions: dict[str, Callable[[TableRequest, bool], pd.DataFrame]] = {
        "runs": _runs_table,
        "metrics": _metrics_table,
        "predictions": _predictions_table,
        "oof": _oof_table,
        "ensemble": _ensemble_table,
        "top": _top_table,
    }
    _check_splits(request)
    return functions[name](request, summarized)


def _check_splits(request: TableRequest) -> None:
    if not request.splits:
        return
    from seedfold.results.store.predictions import find_predictions

    known_splits = sorted({split for run in request.runs for split in find_predictions(run.folder)})
    for split in request.splits:
        if split not in known_splits:
            raise UsageError(
                f"--split {split}: no run has it{did_you_mean(split, known_splits)}; splits: {', '.join(known_splits)}"
            )


def _runs_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    return tables.runs(request.runs, where=request.where or None)


def _metrics_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    where = " ".join([request.where, *([f"split={','.join(request.splits)}"] if request.splits else [])]) or None
    plan = tables.StudyPlan(request.planned, request.reasons, request.compare)
    if request.by:
        return tables.metrics(request.runs, by=request.by, where=where, plan=plan)
    if request.over or summarized:
        return tables.metric_means(request.runs, over=request.over or None, where=where, plan=plan)
    return tables.metrics(request.runs, where=where)


def _predictions_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    return tables.predictions(request.runs, splits=request.splits_or_none, where=request.where or None)


def _oof_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    make = tables.oof_metrics if summarized else tables.oof
    return make(request.runs, request.over or FOLD, split=_single_split(request), **request.shared_arguments)


def _single_split(request: TableRequest) -> str:
    if len(request.splits) > 1:
        raise UsageError(f"--split {', '.join(request.splits)}: an out-of-fold table is of one split")
    return request.splits[0] if request.splits else "val"


def _ensemble_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    make = tables.ensemble_metrics if summarized else tables.ensemble
    return make(
        request.runs,
        request.over or _seed_axes(request.runs),
        splits=request.splits_or_none,
        **request.shared_arguments,
    )


def _top_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.ensembles.members import read_members
    from seedfold.results.ensembles.top_members import MemberChoice, make_ensembles
    from seedfold.results.evaluation.axes import select_runs

    choice = MemberChoice(**request.member_choice)
    runs, _ = select_runs(request.runs, request.where or None)
    if not request.partial:
        _refuse_missing_jobs(runs, select_runs(request.planned or (), request.where or None)[0])
    frame = make_ensembles(read_members(runs), choice).score_table()
    if request.splits:
        frame = frame[frame["split"].isin(request.splits)].reset_index(drop=True)
    columns = ["split", "chosen_on", "n", "models", "samples", *dict.fromkeys(["accuracy", choice.rank_by])]
    return frame[columns] if summarized else frame


def _refuse_missing_jobs(runs: Sequence[FinishedJob], planned: Sequence[JobDescription]) -> None:
    done_ids = {run.id for run in runs}
    absent = [job for job in planned if FOLD in job.axes and job.id not in done_ids]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        raise UsageError(
            f"top: {count_noun(len(absent), 'job')} {verb} not done; wait, or take what is there: --partial"
        )


def _seed_axes(runs: Sequence[FinishedJob]) -> tuple[str, ...]:
    """The axes that members differ in unless told otherwise: seeds."""
    axes = dict.fromkeys(axis for run in runs for axis in run.axes)
    seeds = tuple(axis for axis in axes if axis.endswith("seed"))
    if not seeds:
        known = ", ".join(axes) or "none"
        raise UsageError(f"--over: no axis is a seed; name the axes whose jobs are averaged; axes: {known}")
    return seeds
