"""Out-of-fold tables: each development sample once per group, predicted by the run whose validation fold held it.

A group is a stage and the values of every axis but the fold. It is complete when no fold is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seedfold.results.evaluation.axes import Group, Selection, address_frame, agreement, axis_names, group_runs, select
from seedfold.results.evaluation.folds import (
    LISTED,
    Gap,
    Over,
    find_gaps,
    find_over,
    find_unplanned,
    fold_text,
    having,
    refuse,
    with_companions,
)
from seedfold.results.evaluation.pooling import Pooled, pool, read_runs, target_column
from seedfold.results.store.finished_job import Job, Run
from seedfold.results.store.metrics import score
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

_DONORS = 3


class OutOfFold:
    """The groups of runs over a fold axis, what they lack, and their pooled rows, read group by group.

    Raises UsageError if no run has the axis, or if a fold is missing and ``partial`` is not set. ``planned`` are the
    places that the study has, done or not; without them a fold that no run has goes unnoticed. With them, folds that
    were never planned are missing, too, where the configurations of the jobs say how many there are.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        over: Over = "fold",
        split: str = "val",
        partial: bool = False,
        planned: Iterable[Job] | None = None,
        where: Selection = None,
    ) -> None:
        chosen, _ = select(runs, where)
        plan = None if planned is None else list(planned)
        wanted = None if plan is None else select(plan, where)[0]
        self.over = with_companions(plan, find_over(chosen, over))
        self.split = split
        self.groups = group_runs(having(chosen, self.over), self.over)
        self.gaps = [self._counted(gap, rank) for rank, gap in enumerate(find_gaps(self.groups, self.over, wanted))]
        self.gaps += find_unplanned(plan or (), self.over, where)
        if not partial:
            refuse(self.gaps, "out-of-fold")

    def is_complete(self, group: Group) -> bool:
        """Whether a group has every fold."""
        return all(gap.key != group.key for gap in self.gaps)

    def expected(self, group: Group) -> int:
        """How many jobs a group should have: those that are there, and the folds that it lacks."""
        return len(group.runs) + sum(gap.count for gap in self.gaps if gap.key == group.key)

    def rows(self, group: Group) -> dict[str, HeadPredictions]:
        """Return a group's rows by head."""
        return {head: pooled.rows for head, pooled in pool(group.runs, self.split).items()}

    def pooled(self) -> Iterator[tuple[Group, dict[str, Pooled]]]:
        """Yield each group with its rows by head, and which run each row is from."""
        for group in self.groups:
            yield group, pool(group.runs, self.split)

    def _counted(self, gap: Gap, rank: int) -> Gap:
        own = next((group for group in self.groups if group.key == gap.key), None)
        if rank >= LISTED or own is None:
            return gap
        return replace(gap, samples=self._lost(own, gap.fold))

    def _lost(self, own: Group, fold: str) -> int | None:
        """Count the samples of ``fold`` in the group most like ``own`` that cuts the samples into the same folds."""
        folds = self._samples(own)
        peers = [group for group in self.groups if group.stage == own.stage and self._has(group, fold)]
        for peer in sorted(peers, key=lambda group: -agreement(own.axes, group.axes))[:_DONORS]:
            theirs = self._samples(peer)
            if all(theirs.get(name) == samples for name, samples in folds.items()):
                return len(theirs[fold])
        return None

    def _has(self, group: Group, fold: str) -> bool:
        return any(fold_text(run, self.over) == fold for run in group.runs)

    def _samples(self, group: Group) -> dict[str, set[str]]:
        heads = read_runs(group.runs, self.split)
        return {
            fold_text(run, self.over): set(found[0].sample_ids) for run, found in zip(group.runs, heads, strict=True)
        }


def oof(
    runs: Sequence[Run],
    over: Over = "fold",
    *,
    split: str = "val",
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
    for group, heads in found.pooled():
        places = _places(group, axes).assign(complete=found.is_complete(group))
        parts += [_frame(pooled, places) for pooled in heads.values()]
    return _ordered(pd.concat(parts, ignore_index=True), [*axes, "complete"]) if parts else pd.DataFrame()


def _places(group: Group, axes: Sequence[str]) -> pd.DataFrame:
    places = address_frame(group.runs)
    places.insert(0, "job", [run.short_id for run in group.runs])
    return places.reindex(columns=["job", "stage", *axes])


def _frame(pooled: Pooled, places: pd.DataFrame) -> pd.DataFrame:
    rows = pooled.rows
    frame = places.iloc[pooled.sources].reset_index(drop=True)
    frame["sample_id"] = rows.sample_ids
    frame["target"] = target_column(rows)
    frame["head"] = rows.head
    for number in range(rows.logits.shape[1]):
        frame[f"logit_{number}"] = rows.logits[:, number]
    return frame


def _ordered(frame: pd.DataFrame, last: Sequence[str]) -> pd.DataFrame:
    logits = sorted((name for name in map(str, frame) if name.startswith("logit_")), key=lambda name: int(name[6:]))
    return frame[["job", "sample_id", "target", "head", *logits, "stage", *last]]


def oof_metrics(
    runs: Sequence[Run],
    over: Over = "fold",
    *,
    split: str = "val",
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
        for group, heads in found.pooled()
        for head, pooled in heads.items()
        for counted in [{"group": group, "samples": len(pooled.sources), "folds": len(group.runs)}]
        for metric, value in score(pooled.rows).items()
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        frame["n"], frame["expected"] = frame["folds"], [found.expected(group) for group in frame["group"]]
    return with_groups(frame)


def with_groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the column ``group`` replaced by the stage and one column per axis of the groups."""
    import pandas as pd

    if frame.empty:
        return frame
    groups: list[Group] = list(frame.pop("group"))
    return pd.concat([address_frame(groups), frame], axis=1)
