"""The tables of a study by name, as `results` knows them, for people to read or with every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, counted, did_you_mean
from seedfold.results.store.finished_job import Run

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("runs", "metrics", "predictions", "oof", "ensemble", "top")
FOLD = "fold"


@dataclass(frozen=True, slots=True)
class TableRequest:
    """What a table is made of. ``planned`` are all jobs of the study: they tell which folds and members are missing."""

    runs: Sequence[Run]
    planned: Sequence[JobDescription] | None = None
    where: str = ""
    splits: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    partial: bool = False
    choice: Mapping[str, Any] = field(default_factory=dict)
    """Which members the table ``top`` is made of; see `seedfold.results.ensembles.top_members.Choice`."""

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that out-of-fold tables and ensembles share."""
        return {"partial": self.partial, "planned": self.planned, "where": self.where or None}

    @property
    def some_splits(self) -> tuple[str, ...] | None:
        """The splits asked for; None for all."""
        return self.splits or None


def table(name: str, request: TableRequest, to_read: bool = False) -> pd.DataFrame:
    """Return a table. ``to_read``: means and metrics in place of the rows that they are computed from.

    Raises UsageError for options that the table does not have, and for missing folds or members.
    """
    if request.by and name != "metrics":
        raise UsageError(f"--by: the table {name} has no means; it goes with metrics")
    if request.choice and name != "top":
        raise UsageError(f"--min-accuracy, --rank-by, --member: the table {name} ranks nothing; they go with top")
    if request.over and name in {"runs", "predictions", "top"}:
        raise UsageError(f"--over: the table {name} averages over nothing; it goes with metrics, oof and ensemble")
    if request.by and request.over:
        raise UsageError("--by and --over exclude each other: --by names the axes that stay, --over those that do not")
    makers: dict[str, Callable[[TableRequest, bool], pd.DataFrame]] = {
        "runs": _runs,
        "metrics": _metrics,
        "predictions": _predictions,
        "oof": _oof,
        "ensemble": _ensemble,
        "top": _top,
    }
    _check_splits(request)
    return makers[name](request, to_read)


def _check_splits(request: TableRequest) -> None:
    if not request.splits:
        return
    from seedfold.results.store.predictions import find_predictions

    known = sorted({split for run in request.runs for split in find_predictions(run.folder)})
    for split in request.splits:
        if split not in known:
            raise UsageError(f"--split {split}: no run has it{did_you_mean(split, known)}; splits: {', '.join(known)}")


def _runs(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    return tables.runs(request.runs, where=request.where or None)


def _metrics(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    where = " ".join([request.where, *([f"split={','.join(request.splits)}"] if request.splits else [])]) or None
    if request.by:
        return tables.metrics(request.runs, by=request.by, where=where)
    if request.over or to_read:
        return tables.metric_means(request.runs, over=request.over or None, where=where)
    return tables.metrics(request.runs, where=where)


def _predictions(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    return tables.predictions(request.runs, splits=request.some_splits, where=request.where or None)


def _oof(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    make = tables.oof_metrics if to_read else tables.oof
    return make(request.runs, request.over or FOLD, split=_only_split(request), **request.common)


def _only_split(request: TableRequest) -> str:
    if len(request.splits) > 1:
        raise UsageError(f"--split {', '.join(request.splits)}: an out-of-fold table is of one split")
    return request.splits[0] if request.splits else "val"


def _ensemble(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    make = tables.ensemble_metrics if to_read else tables.ensemble
    return make(request.runs, request.over or _members(request.runs), splits=request.some_splits, **request.common)


def _top(request: TableRequest, to_read: bool) -> pd.DataFrame:
    from seedfold.results.ensembles.members import read_members
    from seedfold.results.ensembles.top_members import Choice, make_ensembles
    from seedfold.results.evaluation.axes import select

    choice = Choice(**request.choice)
    runs, _ = select(request.runs, request.where or None)
    if not request.partial:
        _refuse_absent(runs, select(request.planned or (), request.where or None)[0])
    frame = make_ensembles(read_members(runs), choice).table()
    if request.splits:
        frame = frame[frame["split"].isin(request.splits)].reset_index(drop=True)
    shown = ["split", "chosen_on", "n", "models", "samples", *dict.fromkeys(["accuracy", choice.rank_by])]
    return frame[shown] if to_read else frame


def _refuse_absent(runs: Sequence[Run], planned: Sequence[JobDescription]) -> None:
    there = {run.id for run in runs}
    absent = [job for job in planned if FOLD in job.axes and job.id not in there]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        raise UsageError(f"top: {counted(len(absent), 'job')} {verb} not done; wait, or take what is there: --partial")


def _members(runs: Sequence[Run]) -> tuple[str, ...]:
    """The axes that members differ in unless told otherwise: seeds."""
    axes = dict.fromkeys(axis for run in runs for axis in run.axes)
    seeds = tuple(axis for axis in axes if axis.endswith("seed"))
    if not seeds:
        known = ", ".join(axes) or "none"
        raise UsageError(f"--over: no axis is a seed; name the axes whose jobs are averaged; axes: {known}")
    return seeds
