"""Ensembles: the mean probability of runs that differ in some axes, per sample.

No member is scored on rows that it trained on. Where the fold is among the axes averaged over, the validation rows of
a member's folds are pooled out of fold, so that a sample's probability comes from the run that held it out; on other
splits, which no run trained on, the run of each fold is a member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.averaging import MeanPredictions, RunningMean
from seedfold.results.evaluation.axes import Group, Selection, group_runs, select_runs
from seedfold.results.evaluation.folds import (
    Over,
    _find_unplanned_gaps,
    add_zipped_axes,
    find_gaps,
    find_over_axes,
    refuse_gaps,
    with_axes,
)
from seedfold.results.evaluation.missing_values import count_by_group
from seedfold.results.evaluation.out_of_fold import replace_group_column
from seedfold.results.evaluation.pooling import pool_runs, read_runs, target_column
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

TRAINING_SPLIT = "train"
OUT_OF_FOLD_SPLITS = ("val",)
_COUNTS = ("n_members", "n", "expected")
Heads = Mapping[str, HeadPredictions]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The mean of the members of a group on one split, by head."""

    group: Group
    split: str
    means_by_head: Mapping[str, MeanPredictions]
    expected: int
    """How many jobs the ensemble should have."""


def _read_members(group: Group, split: str, pooled: Sequence[str]) -> Iterator[tuple[str, Heads]]:
    """Yield a name and the rows of each member."""
    if not pooled:
        for run, found in zip(group.runs, read_runs(group.runs, split), strict=True):
            yield run.short_id, {head.head: head for head in found}
        return
    for member in group_runs(group.runs, pooled):
        rows = {name: pooled_rows.rows for name, pooled_rows in pool_runs(member.runs, split).items()}
        yield " ".join(run.short_id for run in member.runs), rows


def _make_ensemble(group: Group, split: str, pooled_axes: Sequence[str], expected: int) -> Ensemble:
    means: dict[str, RunningMean] = {}
    for name, heads in _read_members(group, split, pooled_axes):
        if not means:
            means = {head: RunningMean(rows, name) for head, rows in heads.items()}
        if set(heads) != set(means):
            raise UsageError(f"job {name}: has heads {sorted(heads)}, others of its ensemble {sorted(means)}")
        for head, rows in heads.items():
            means[head].add(rows, name)
    return Ensemble(group, split, {head: mean.mean() for head, mean in means.items()}, expected)


def iterate_ensembles(
    runs: Sequence[FinishedJob],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD_SPLITS,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> Iterator[Ensemble]:
    """Yield the ensembles over some axes, one per group of the other axes and per split; see `ensemble`."""
    chosen_runs, _ = select_runs(runs, where)
    plan = None if planned is None else list(planned)
    planned_chosen = None if plan is None else select_runs(plan, where)[0]
    over_axes = find_over_axes(chosen_runs, over)
    fold_axes = [axis for axis in over_axes if axis in ([fold] if isinstance(fold, str) else fold)]
    folds = add_zipped_axes(plan, fold_axes) if fold_axes else []
    axes = list(dict.fromkeys([*over_axes, *folds]))
    groups = group_runs(with_axes(chosen_runs, axes), axes)
    if not partial:
        _refuse_missing_members(chosen_runs, axes, folds, groups, planned_chosen)
        if splits is None or set(splits) & set(out_of_fold):
            refuse_gaps(_find_unplanned_gaps(plan or (), folds, where), "ensemble")
    expected = count_by_group(with_axes(planned_chosen or (), axes), axes)
    for group in groups:
        for split in _choose_splits(group, splits):
            jobs = max(expected[group.address_text], len(group.runs))
            yield _make_ensemble(group, split, folds if split in out_of_fold else [], jobs)


def _refuse_missing_members(
    runs: Sequence[FinishedJob],
    axes: list[str],
    folds: list[str],
    groups: Sequence[Group],
    planned: Sequence[Job] | None,
) -> None:
    if planned is not None:
        refuse_gaps(find_gaps(groups, axes, planned), "ensemble")
    elif folds:
        refuse_gaps(find_gaps(group_runs(with_axes(runs, axes), folds), folds, None), "ensemble")


def _choose_splits(group: Group, wanted: Collection[str] | None) -> list[str]:
    if wanted is not None and TRAINING_SPLIT in wanted:
        raise UsageError(f"split {TRAINING_SPLIT!r}: an ensemble is not scored on rows that its members trained on")
    found = dict.fromkeys(each.split for each in split_files(group.runs, wanted))
    return [split for split in found if split != TRAINING_SPLIT]


def ensemble(
    runs: Sequence[FinishedJob],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD_SPLITS,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return mean probabilities: stage, axes, split, sample_id, target, head, probability_0 …, n_members, n, expected.

    Members are the runs of a group that differ in the axes ``over``. ``fold`` names the axis of folds (and the axes
    that are zipped with it): on the splits ``out_of_fold``, the runs of the folds hold different rows, which are
    pooled. A head with one logit has two probabilities; a regression head has the column ``prediction``. Samples are in
    the order of the first member. ``n`` and ``expected`` count the jobs of an ensemble, and those that it should have.

    Raises UsageError if members hold different samples, targets, heads or numbers of classes. Unless ``partial``, it
    also raises UsageError if a fold is missing, or with ``planned`` (the places of the study, done or not) any member.
    """
    import pandas as pd

    found = iterate_ensembles(
        runs, over, splits=splits, fold=fold, out_of_fold=out_of_fold, partial=partial, planned=planned, where=where
    )
    parts = [_ensemble_table(each, mean) for each in found for mean in each.means_by_head.values()]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if parts:
        for name in _COUNTS:
            frame[name] = frame.pop(name)
    return replace_group_column(frame)


def _ensemble_table(each: Ensemble, mean: MeanPredictions) -> pd.DataFrame:
    import pandas as pd

    rows = mean.first_member
    columns = {"sample_id": rows.sample_ids, "target": target_column(rows), "head": rows.head}
    frame = pd.DataFrame({"split": each.split, **columns})
    names = (
        ["prediction"] if rows.is_regression else [f"probability_{number}" for number in range(mean.values.shape[1])]
    )
    frame[names] = mean.values
    for name, count in zip(_COUNTS, (mean.member_count, len(each.group.runs), each.expected), strict=True):
        frame[name] = np.int64(count)
    frame["group"] = pd.Series([each.group] * len(frame), dtype=object)
    return frame


def ensemble_metrics(
    runs: Sequence[FinishedJob],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD_SPLITS,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return metrics of the ensembles: stage, axes, split, head, metric, value, samples, n_members, n, expected.

    Arguments and errors are those of `ensemble`.
    """
    import pandas as pd

    found = iterate_ensembles(
        runs, over, splits=splits, fold=fold, out_of_fold=out_of_fold, partial=partial, planned=planned, where=where
    )
    rows = [
        {"group": each.group, "split": each.split, "head": head, "metric": metric, "value": value}
        | {"samples": len(mean.first_member.ids), "n_members": mean.member_count, "n": len(each.group.runs)}
        | {"expected": each.expected}
        for each in found
        for head, mean in each.means_by_head.items()
        for metric, value in mean.metrics().items()
    ]
    return replace_group_column(pd.DataFrame(rows))
