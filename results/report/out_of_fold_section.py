"""The out-of-fold part of a report: pooled metrics and curves per setting, and what is missing or has failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.work import DataFailure
from seedfold.results.evaluation.axes import Group, address_key, axis_names, group_runs, last_component, without_axes
from seedfold.results.evaluation.folds import with_axes
from seedfold.results.evaluation.out_of_fold import VALIDATION, OutOfFold, choose_split
from seedfold.results.evaluation.query import split_files
from seedfold.results.report.headline import PooledMetrics, ReportTable, make_pooled_table
from seedfold.results.report.plots import MAX_SERIES
from seedfold.results.report.pooled_curves import PooledCurves
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.metrics import head_metrics
from seedfold.results.store.predictions import HeadPredictions


@dataclass(slots=True)
class PooledFolds:
    """A table, the curves to draw (of the first of ``setting_count`` settings), and problems, one line each."""

    table: ReportTable | None = None
    curves: list[PooledCurves] = field(default_factory=list)
    setting_count: int = 0
    problems: list[str] = field(default_factory=list)
    split: str = VALIDATION


def pool_folds(
    runs: Sequence[FinishedJob],
    over: Sequence[str],
    planned: Sequence[Job] | None,
    limit: int,
    compare: Sequence[str] | None = None,
) -> PooledFolds:
    """Score the pooled rows of the first ``limit`` settings: groups of runs over the axes ``over``.

    The rows are those of the validation split, or of the only split that there is. Groups that cannot be pooled are
    listed as problems, because a report shows all that it can; but a split of another name may just have the same
    samples in all folds.
    """
    pooled = PooledFolds(split=choose_split(runs))
    pooled_runs = [each.run for each in split_files(runs) if each.split == pooled.split]
    fold = next((axis for axis in axis_names(pooled_runs) if last_component(axis) == "fold"), None)
    if fold is None:
        return pooled
    try:
        out_of_fold = OutOfFold(pooled_runs, fold, pooled.split, partial=True, planned=planned)
        pooled.problems = [str(gap) for gap in out_of_fold.gaps]
        repetitions = _count_repetitions(planned or (), [*over, *out_of_fold.over], out_of_fold.over)
        _score_settings(out_of_fold, pooled, [*over, *out_of_fold.over], limit, repetitions, compare)
    except (SeedfoldError, DataFailure) as error:
        if pooled.split != VALIDATION:
            return PooledFolds()
        pooled.problems.append(str(error))
    return pooled


def _count_repetitions(planned: Sequence[Job], over: Sequence[str], folds: Sequence[str]) -> Counter[str]:
    """Count the groups of folds that each setting should have, by the key of the setting."""
    repetitions = {
        address_key(place.stage, without_axes(place.axes, folds)): address_key(
            place.stage, without_axes(place.axes, over)
        )
        for place in with_axes(planned, folds)
    }
    return Counter(repetitions.values())


def _score_settings(
    out_of_fold: OutOfFold,
    pooled: PooledFolds,
    over: Sequence[str],
    limit: int,
    repetitions: Counter[str],
    compare: Sequence[str] | None,
) -> None:
    settings = group_runs([run for group in out_of_fold.groups for run in group.runs], over)
    pooled.setting_count = len(settings)
    setting_of = {run.id: setting for setting in settings[:limit] for run in setting.runs}
    drawn_settings = {setting.address_text for setting in settings[:MAX_SERIES]}
    metrics_by_key: dict[tuple[str, str], PooledMetrics] = {}
    curves_by_key: dict[tuple[str, str], PooledCurves] = {}
    for group in out_of_fold.groups:
        setting = setting_of.get(group.runs[0].id)
        if setting is None:
            continue
        for head, rows in out_of_fold.heads_of(group).items():
            key = (setting.address_text, head)
            metrics = metrics_by_key.setdefault(
                key, PooledMetrics(setting, head, expected=repetitions[setting.address_text])
            )
            _add_group(metrics, group, rows, out_of_fold.is_complete(group))
            if setting.address_text in drawn_settings:
                curves_by_key.setdefault(key, PooledCurves(setting, head, split=pooled.split)).add(rows)
    pooled.curves = list(curves_by_key.values())
    pooled.table = make_pooled_table(metrics_by_key.values(), over, max(0, len(settings) - limit), compare)


def _add_group(metrics: PooledMetrics, group: Group, rows: HeadPredictions, complete: bool) -> None:
    metrics.scores.append(head_metrics(rows))
    metrics.samples.add(len(rows.ids))
    metrics.folds.add(len(group.runs))
    metrics.incomplete_groups += not complete
