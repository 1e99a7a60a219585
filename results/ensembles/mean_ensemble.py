"""Ensembles: the mean probability of runs that differ in some axes, per sample.

No member is scored on rows that it trained on. Where the fold is among the axes averaged over, the validation rows of
a member's folds are pooled out of fold, so that a sample's probability comes from the run that held it out; on other
splits, which no run trained on, the folds are members of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.averaging import Mean, MeanPredictions
from seedfold.results.evaluation.axes import Group, Selection, group_runs, select
from seedfold.results.evaluation.folds import (
    Over,
    find_gaps,
    find_over,
    find_unplanned,
    having,
    refuse,
    with_companions,
)
from seedfold.results.evaluation.missing_values import count_by_group
from seedfold.results.evaluation.out_of_fold import with_groups
from seedfold.results.evaluation.pooling import pool, read_runs, target_column
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import Job, Run
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

TRAINED_ON = "train"
OUT_OF_FOLD = ("val",)
_COUNTS = ("n_members", "n", "expected")
Heads = Mapping[str, HeadPredictions]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The mean of a group's members on one split, by head."""

    group: Group
    split: str
    heads: Mapping[str, MeanPredictions]
    expected: int
    """Jobs that it should be made of."""


def _members(group: Group, split: str, pooled: Sequence[str]) -> Iterator[tuple[str, Heads]]:
    """Yield a name and the rows of each member."""
    if not pooled:
        for run, found in zip(group.runs, read_runs(group.runs, split), strict=True):
            yield run.short_id, {head.head: head for head in found}
        return
    for member in group_runs(group.runs, pooled):
        rows = {name: pooled_rows.rows for name, pooled_rows in pool(member.runs, split).items()}
        yield " ".join(run.short_id for run in member.runs), rows


def _average(group: Group, split: str, pooled: Sequence[str], expected: int) -> Ensemble:
    means: dict[str, Mean] = {}
    for name, heads in _members(group, split, pooled):
        if not means:
            means = {head: Mean(rows, name) for head, rows in heads.items()}
        if set(heads) != set(means):
            raise UsageError(f"job {name}: has heads {sorted(heads)}, others of its ensemble {sorted(means)}")
        for head, rows in heads.items():
            means[head].add(rows, name)
    return Ensemble(group, split, {head: mean.result() for head, mean in means.items()}, expected)


def ensembles(
    runs: Sequence[Run],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> Iterator[Ensemble]:
    """Yield the ensembles over some axes, per group of the other axes and per split; see `ensemble`."""
    chosen, _ = select(runs, where)
    plan = None if planned is None else list(planned)
    wanted = None if plan is None else select(plan, where)[0]
    given = find_over(chosen, over)
    named = [axis for axis in given if axis in ([fold] if isinstance(fold, str) else fold)]
    folds = with_companions(plan, named) if named else []
    axes = list(dict.fromkeys([*given, *folds]))
    groups = group_runs(having(chosen, axes), axes)
    if not partial:
        _refuse_gaps(chosen, axes, folds, groups, wanted)
        if splits is None or set(splits) & set(out_of_fold):
            refuse(find_unplanned(plan or (), folds, where), "ensemble")
    expected = count_by_group(having(wanted or (), axes), axes)
    for group in groups:
        for split in _splits(group, splits):
            jobs = max(expected[group.key], len(group.runs))
            yield _average(group, split, folds if split in out_of_fold else [], jobs)


def _refuse_gaps(
    runs: Sequence[Run], axes: list[str], folds: list[str], groups: Sequence[Group], planned: Sequence[Job] | None
) -> None:
    if planned is not None:
        refuse(find_gaps(groups, axes, planned), "ensemble")
    elif folds:
        refuse(find_gaps(group_runs(having(runs, axes), folds), folds, None), "ensemble")


def _splits(group: Group, wanted: Collection[str] | None) -> list[str]:
    if wanted is not None and TRAINED_ON in wanted:
        raise UsageError(f"split {TRAINED_ON!r}: an ensemble is not scored on rows that its members trained on")
    found = dict.fromkeys(each.split for each in split_files(group.runs, wanted))
    return [split for split in found if split != TRAINED_ON]


def ensemble(
    runs: Sequence[Run],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return mean probabilities: stage, axes, split, sample_id, target, head, probability_0 …, n_members, n, expected.

    Members are the runs of a group that differ in the axes ``over``; ``fold`` names the axis (and what is zipped with
    it) whose runs on the splits ``out_of_fold`` hold different rows, which are pooled. A head with one logit has two
    probabilities; a regression head has the column ``prediction``. Samples are in the order of the first member.
    ``n`` and ``expected`` count the jobs of an ensemble, and those that it should have.

    Raises UsageError where members hold different samples, targets, heads or numbers of classes; where a fold is
    missing, or with ``planned`` (the places that the study has, done or not) any member, unless ``partial``.
    """
    import pandas as pd

    found = ensembles(
        runs, over, splits=splits, fold=fold, out_of_fold=out_of_fold, partial=partial, planned=planned, where=where
    )
    parts = [_frame(each, mean) for each in found for mean in each.heads.values()]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if parts:
        for name in _COUNTS:
            frame[name] = frame.pop(name)
    return with_groups(frame)


def _frame(each: Ensemble, mean: MeanPredictions) -> pd.DataFrame:
    import pandas as pd

    rows = mean.rows
    columns = {"sample_id": rows.sample_ids, "target": target_column(rows), "head": rows.head}
    frame = pd.DataFrame({"split": each.split, **columns})
    names = (
        ["prediction"] if rows.is_regression else [f"probability_{number}" for number in range(mean.values.shape[1])]
    )
    frame[names] = mean.values
    for name, count in zip(_COUNTS, (mean.members, len(each.group.runs), each.expected), strict=True):
        frame[name] = np.int64(count)
    frame["group"] = pd.Series([each.group] * len(frame), dtype=object)
    return frame


def ensemble_metrics(
    runs: Sequence[Run],
    over: Over,
    *,
    splits: Collection[str] | None = None,
    fold: Over = "fold",
    out_of_fold: Collection[str] = OUT_OF_FOLD,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return metrics of the ensembles: stage, axes, split, head, metric, value, samples, n_members, n, expected.

    Arguments and errors are those of `ensemble`.
    """
    import pandas as pd

    found = ensembles(
        runs, over, splits=splits, fold=fold, out_of_fold=out_of_fold, partial=partial, planned=planned, where=where
    )
    rows = [
        {"group": each.group, "split": each.split, "head": head, "metric": metric, "value": value}
        | {"samples": len(mean.rows.ids), "n_members": mean.members, "n": len(each.group.runs)}
        | {"expected": each.expected}
        for each in found
        for head, mean in each.heads.items()
        for metric, value in mean.score().items()
    ]
    return with_groups(pd.DataFrame(rows))
