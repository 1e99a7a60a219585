"""The result tables of a study by name, as summaries for people or with all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from seedfold.jobs.conditions import Where, find_axis, split_conditions
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.orchestrator.state.finished_jobs import FinishedJobs, reasons_without_result
from seedfold.orchestrator.state.overview import Overview
from seedfold.results.evaluation.axes import CODE_AXES, axis_names, select_runs
from seedfold.results.store.finished_job import FinishedJob

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("runs", "metrics", "predictions", "oof", "ensemble", "top")
FOLD = "fold"


@dataclass(frozen=True, slots=True)
class TableRequest:
    """The data and options of a table. ``planned`` are all jobs of the study, which show what is missing.

    ``planned_by_code`` are these jobs with the axis of the code, if finished jobs have one.
    """

    runs: Sequence[FinishedJob]
    planned: Sequence[JobDescription] | None = None
    planned_by_code: Sequence[JobDescription] | None = None
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
    """Which members the table ``top`` uses; see `seedfold.results.ensembles.top_members.MemberChoice`."""

    @property
    def shared_arguments(self) -> dict[str, Any]:
        """Arguments that out-of-fold tables and ensembles share."""
        return {"partial": self.partial, "planned": self.planned, "where": self.where or None}

    @classmethod
    def of_study(cls, overview: Overview, finished: FinishedJobs, **options: Any) -> TableRequest:
        """Return the request for a table of a study's finished jobs."""
        planned, reasons = list(overview.jobs_by_address().values()), reasons_without_result(overview, finished.jobs)
        by_code, compare = finished.with_code(planned), overview.report_settings.compare
        return cls(finished.jobs, planned, by_code, reasons, compare, **options)

    @property
    def splits_or_none(self) -> tuple[str, ...] | None:
        """The splits that were asked for; None for all splits."""
        return self.splits or None


def make_result_table(name: str, request: TableRequest, summarized: bool = False) -> pd.DataFrame:
    """Return a table. With ``summarized``, means and metrics replace the rows from which they are computed.

    Raises UsageError for options that the table does not have, and for missing folds or members.
    """
    if request.by and name != "metrics":
        raise UsageError(f"--by: the table {name} has no means; use --by with the table metrics")
    if request.member_choice and name != "top":
        raise UsageError(
            f"--min-accuracy, --rank-by, --member: the table {name} ranks nothing; use these options with the table top"
        )
    if request.splits and name == "runs":
        raise UsageError("--split: the table runs has the metrics of all splits side by side; leave --split out")
    if request.over and name in {"runs", "predictions", "top"}:
        raise UsageError(
            f"--over: the table {name} averages nothing; use --over with the tables metrics, oof and ensemble"
        )
    if request.by and request.over:
        raise UsageError(
            "--by and --over cannot be used together: --by names the axes that"
            " are kept, --over the axes that are averaged"
        )
    functions: dict[str, Callable[[TableRequest, bool], pd.DataFrame]] = {
        "runs": _runs_table,
        "metrics": _metrics_table,
        "predictions": _predictions_table,
        "oof": _oof_table,
        "ensemble": _ensemble_table,
        "top": _top_table,
    }
    _check_splits(name, request)
    _check_values(request)
    try:
        return functions[name](select_code(request), summarized)
    except UsageError as error:
        if name in {"oof", "ensemble", "top"} and any(axis in CODE_AXES for axis in axis_names(request.runs)):
            raise UsageError(f"{error}; --across code combines the versions of the code") from error
        raise


def select_code(request: TableRequest) -> TableRequest:
    """The request with conditions on the version of the code applied to the runs: no plan knows of it."""
    planned_axes = axis_names(request.planned or ())
    on_code, others = split_conditions(request.where, [axis for axis in CODE_AXES if axis not in planned_axes])
    if not on_code:
        return request
    by_code = None if request.planned_by_code is None else select_runs(request.planned_by_code, on_code)[0]
    return replace(request, runs=select_runs(request.runs, on_code)[0], planned_by_code=by_code, where=others)


def _check_splits(name: str, request: TableRequest) -> None:
    if not request.splits:
        return
    known_splits = sorted(_splits_of_metrics(request) if name == "metrics" else _splits(request))
    for split in request.splits:
        if split not in known_splits:
            raise UsageError(
                f"--split {split}: no run has this split{did_you_mean(split, known_splits)};"
                f" splits: {', '.join(known_splits) or 'none'}"
            )


def _check_values(request: TableRequest) -> None:
    """Raise UsageError for a condition on an axis that no job of the study meets, done or not."""
    planned = request.planned or ()
    axes = axis_names(planned)
    terms = Where.parse(request.where).terms if request.where else ()
    Where(tuple(term for term in terms if find_axis(term.key, axes) is not None)).check_values(planned)


def _splits(request: TableRequest) -> set[str]:
    """The splits that have predictions."""
    from seedfold.results.store.predictions import find_predictions

    return {split for run in request.runs for split in find_predictions(run.folder)}


def _splits_of_metrics(request: TableRequest) -> set[str]:
    """The splits that have metrics; a program may log some of a split that it makes no predictions for."""
    from seedfold.results.store.published import load_result

    return {metric["split"] for run in request.runs for metric in load_result(run.folder).metrics}


def _runs_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    return tables.runs(request.runs, where=request.where or None)


def _metrics_table(request: TableRequest, summarized: bool) -> pd.DataFrame:
    from seedfold.results.tables import result_tables as tables

    where = " ".join([request.where, *([f"split={','.join(request.splits)}"] if request.splits else [])]) or None
    plan = tables.StudyPlan(request.planned_by_code, request.reasons, request.compare)
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
        raise UsageError(f"--split {', '.join(request.splits)}: an out-of-fold table has only one split; name one")
    if request.splits:
        return request.splits[0]
    from seedfold.results.evaluation.out_of_fold import choose_split

    return choose_split(request.runs)


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
    from seedfold.results.ensembles.head_members import read_members
    from seedfold.results.ensembles.top_members import MemberChoice, make_ensembles

    choice = MemberChoice(**request.member_choice)
    runs, _ = select_runs(request.runs, request.where or None)
    planned = [] if request.partial else select_runs(request.planned or (), request.where or None)[0]

    def make(same_code: Sequence[FinishedJob]) -> pd.DataFrame:
        _refuse_missing_jobs(same_code, planned)
        return make_ensembles(read_members(same_code), choice).score_table()

    _refuse_missing_jobs(runs, planned)
    frame = _top_of_each_code(runs, make)
    if request.splits:
        frame = frame[frame["split"].isin(request.splits)].reset_index(drop=True)
    columns = [
        *(axis for axis in CODE_AXES if axis in frame),
        "split",
        "chosen_on",
        "n",
        "models",
        "samples",
        *dict.fromkeys(["accuracy", choice.rank_by]),
    ]
    return frame[columns] if summarized else frame


def _top_of_each_code(
    runs: Sequence[FinishedJob], make: Callable[[Sequence[FinishedJob]], pd.DataFrame]
) -> pd.DataFrame:
    """One table where all runs come from one version of the code, else one of each, with a column that names it."""
    import pandas as pd

    axis = next((axis for axis in CODE_AXES if axis in axis_names(runs)), None)
    if axis is None:
        return make(runs)
    parts: dict[str, list[FinishedJob]] = {}
    for run in runs:
        parts.setdefault(str(run.axes.get(axis)), []).append(run)
    frames = []
    for version, same_code in parts.items():
        frame = make(same_code)
        frame.insert(0, axis, version)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _refuse_missing_jobs(runs: Sequence[FinishedJob], planned: Sequence[JobDescription]) -> None:
    done_ids = {run.id for run in runs}
    absent = [job for job in planned if FOLD in job.axes and job.id not in done_ids]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        missing = f"{count_noun(len(absent), 'job')} {verb} not done"
        version = {f"{axis}={run.axes[axis]}" for axis in CODE_AXES for run in runs if axis in run.axes}
        by = f" by one version of the code ({version.pop()})" if len(version) == 1 else ""
        raise UsageError(f"top: {missing}{by}; wait, or use the finished jobs only with --partial")


def _seed_axes(runs: Sequence[FinishedJob]) -> tuple[str, ...]:
    """The axes in which members differ by default: the seeds."""
    axes = dict.fromkeys(axis for run in runs for axis in run.axes)
    seeds = tuple(axis for axis in axes if axis.endswith("seed"))
    if not seeds:
        known = ", ".join(axes) or "none"
        raise UsageError(f"--over: the study has no axis of seeds; name the axes over which to average; axes: {known}")
    return seeds
