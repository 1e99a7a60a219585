"""Out-of-fold tables: each development sample once per group, predicted by the run whose validation fold held it.

A group is a stage and the values of every axis but the fold. It is complete when no fold is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seedfold.results.evaluation.axes import (
    Group,
    Selection,
    address_frame,
    axis_names,
    count_equal_axes,
    group_runs,
    select_runs,
)
from seedfold.results.evaluation.folds import (
    MAX_LISTED,
    Gap,
    Over,
    _find_unplanned_gaps,
    add_zipped_axes,
    find_gaps,
    find_over_axes,
    fold_text,
    refuse_gaps,
    with_axes,
)
from seedfold.results.evaluation.pooling import PooledHead, pool_runs, read_runs, target_column
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.metrics import head_metrics
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

VALIDATION = "val"
_MAX_PEERS = 3


def choose_split(runs: Sequence[FinishedJob]) -> str:
    """Return the split whose samples are pooled if nobody names one: ``val``, or the only one that runs predicted."""
    splits = {each.split for each in split_files(runs)}
    return splits.pop() if len(splits) == 1 else VALIDATION


class OutOfFold:
    """The groups of runs over a fold axis, what they lack, and their pooled rows, read group by group.

    Raises UsageError if no run has the axis, or if a fold is missing and ``partial`` is not set. ``planned`` are the
    places that the study has, done or not; without them a fold that no run has goes unnoticed. With them, folds that
    were never planned are missing, too, where the configurations of the jobs say how many there are.
    """

    def __init__(
        self,
        runs: Sequence[FinishedJob],
        over: Over = "fold",
        split: str = VALIDATION,
        partial: bool = False,
        planned: Iterable[Job] | None = None,
        where: Selection = None,
    ) -> None:
        chosen, _ = select_runs(runs, where)
        plan = None if planned is None else list(planned)
        wanted = None if plan is None else select_runs(plan, where)[0]
        self.over = add_zipped_axes(plan, find_over_axes(chosen, over))
        self.split = split
        self.groups = group_runs(with_axes(chosen, self.over), self.over)
        self.gaps = [
            self._with_sample_count(gap, rank) for rank, gap in enumerate(find_gaps(self.groups, self.over, wanted))
        ]
        self.gaps += _find_unplanned_gaps(plan or (), self.over, where)
        if not partial:
            refuse_gaps(self.gaps, "out-of-fold")

    def is_complete(self, group: Group) -> bool:
        """Whether a group has every fold."""
        return all(gap.key != group.address_text for gap in self.gaps)

    def expected(self, group: Group) -> int:
        """How many jobs a group should have: those that are there, and the folds that it lacks."""
        return len(group.runs) + sum(gap.count for gap in self.gaps if gap.key == group.address_text)

    def heads_of(self, group: Group) -> dict[str, HeadPredictions]:
        """Return a group's rows by head."""
        return {head: pooled.rows for head, pooled in pool_runs(group.runs, self.split).items()}

    def pooled_groups(self) -> Iterator[tuple[Group, dict[str, PooledHead]]]:
        """Yield each group with its rows by head, and which run each row is from."""
        for group in self.groups:
            yield group, pool_runs(group.runs, self.split)

    def _with_sample_count(self, gap: Gap, rank: int) -> Gap:
        own_group = next((group for group in self.groups if group.address_text == gap.key), None)
        if rank >= MAX_LISTED or own_group is None:
            return gap
        return replace(gap, samples=self._count_lost_samples(own_group, gap.missing))

    def _count_lost_samples(self, own_group: Group, fold: str) -> int | None:
        """Count the samples of ``fold`` in the group most like ``own_group`` with the same folds."""
        own_samples = self._samples_by_fold(own_group)
        peers = [group for group in self.groups if group.stage == own_group.stage and self._has_fold(group, fold)]
        for peer in sorted(peers, key=lambda group: -count_equal_axes(own_group.axes, group.axes))[:_MAX_PEERS]:
            peer_samples = self._samples_by_fold(peer)
            if all(peer_samples.get(name) == samples for name, samples in own_samples.items()):
                return len(peer_samples[fold])
        return None

    def _has_fold(self, group: Group, fold: str) -> bool:
        return any(fold_text(run, self.over) == fold for run in group.runs)

    def _samples_by_fold(self, group: Group) -> dict[str, set[str]]:
        heads = read_runs(group.runs, self.split)
        return {
            fold_text(run, self.over): set(found[0].sample_ids) for run, found in zip(group.runs, heads, strict=True)
        }


def oof(
    runs: Sequence[FinishedJob],
    over: Over = "fold",
    *,
    split: str = VALIDATION,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return out-of-fold predictions: job, sample_id, target, head, logits, stage, axes, complete.

    ``over`` names the fold axis, and those zipped with it, which a plan tells. Rows are in the order of groups,
    heads and folds. ``complete`` is false for all rows of a group that lacks a fold, which only ``partial=True``
    lets through. Raises UsageError for missing folds, with the number of samples where another group tells it, and for
    samples in several folds.
    """
    import pandas as pd

    found = OutOfFold(runs, over, split, partial, planned, where)
    axes = axis_names(run for group in found.groups for run in group.runs)
    parts = []
    for group, heads in found.pooled_groups():
        addresses = _address_table(group, axes).assign(complete=found.is_complete(group))
        parts += [_pooled_table(pooled, addresses) for pooled in heads.values()]
    return _order_columns(pd.concat(parts, ignore_index=True), [*axes, "complete"]) if parts else pd.DataFrame()


def _address_table(group: Group, axes: Sequence[str]) -> pd.DataFrame:
    addresses = address_frame(group.runs)
    addresses.insert(0, "job", [run.short_id for run in group.runs])
    return addresses.reindex(columns=["job", "stage", *axes])


def _pooled_table(pooled: PooledHead, addresses: pd.DataFrame) -> pd.DataFrame:
    rows = pooled.rows
    frame = addresses.iloc[pooled.sources].reset_index(drop=True)
    frame["sample_id"] = rows.sample_ids
    frame["target"] = target_column(rows)
    frame["head"] = rows.head
    for number in range(rows.logits.shape[1]):
        frame[f"logit_{number}"] = rows.logits[:, number]
    return frame


def _order_columns(frame: pd.DataFrame, last_columns: Sequence[str]) -> pd.DataFrame:
    logits = sorted((name for name in map(str, frame) if name.startswith("logit_")), key=lambda name: int(name[6:]))
    return frame[["job", "sample_id", "target", "head", *logits, "stage", *last_columns]]


def oof_metrics(
    runs: Sequence[FinishedJob],
    over: Over = "fold",
    *,
    split: str = VALIDATION,
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return metrics of the pooled out-of-fold predictions: stage, axes, head, metric, value, samples, folds, complete.

    Pooled: computed once over all samples, not averaged over folds. ``n`` and ``expected`` count the jobs that the
    samples are from, and those that they should be from. Raises as `oof` does.
    """
    import pandas as pd

    found = OutOfFold(runs, over, split, partial, planned, where)
    rows = [
        {**counted, "head": head, "metric": metric, "value": value, "complete": found.is_complete(group)}
        for group, heads in found.pooled_groups()
        for head, pooled in heads.items()
        for counted in [{"group": group, "samples": len(pooled.sources), "folds": len(group.runs)}]
        for metric, value in head_metrics(pooled.rows).items()
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        frame["n"], frame["expected"] = frame["folds"], [found.expected(group) for group in frame["group"]]
    return replace_group_column(frame)


def replace_group_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the column ``group`` replaced by the stage and one column per axis of the groups."""
    import pandas as pd

    if frame.empty:
        return frame
    groups: list[Group] = list(frame.pop("group"))
    return pd.concat([address_frame(groups), frame], axis=1)
