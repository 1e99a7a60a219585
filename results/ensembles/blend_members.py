"""The members of a blend: the settings of its parent stages, each with the probability of class 1 of every sample.

Those with folds have out-of-fold predictions of the development samples, and the mean over folds of the test samples.
Those without, such as the mean of `seedfold.results.stages.mean`, have one prediction of each, perhaps of more samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError, counted
from seedfold.results.ensembles.mean_ensemble import ensembles
from seedfold.results.evaluation.averaging import MeanPredictions
from seedfold.results.evaluation.axes import axes_text, group_runs, without
from seedfold.results.evaluation.folds import FOLD, find_gaps, refuse, with_companions
from seedfold.results.evaluation.pooling import pool, read_runs
from seedfold.results.store.finished_job import Run
from seedfold.results.store.metrics import probabilities

if TYPE_CHECKING:
    import pandas as pd

DEVELOPMENT, TEST = "val", "test"
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """A setting of a stage: its predictions by split, and the fold that held out each sample, if there are folds."""

    name: str
    stage: str
    means: Mapping[str, MeanPredictions]
    folds: Mapping[str, int] | None = None

    def table(self, split: str) -> pd.DataFrame:
        """Return the columns target and p, the probability of class 1, indexed by sample."""
        import pandas as pd

        rows = self.means[split].rows
        columns = {"target": rows.targets, "p": self.means[split].values[:, 1]}
        return pd.DataFrame(columns, index=pd.Index(rows.sample_ids))


@dataclass(frozen=True)
class Members:
    """Members side by side: ``targets`` and ``folds`` (n,), ``development`` (n, m) and ``test`` (k, m) probabilities.

    Rows are in the order of the first member, which has folds.
    """

    members: Sequence[Member]
    targets: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    development: Array
    test: Array

    @property
    def names(self) -> list[str]:
        """The names of the members, in order."""
        return [each.name for each in self.members]

    def predictions(self, split: str, values: Array) -> MeanPredictions:
        """Return probabilities of class 1 as predictions of the samples of a split."""
        return MeanPredictions(self.members[0].means[split].rows, np.stack([1 - values, values], 1), len(self.members))


def find_members(runs: Sequence[Run], passes: str) -> list[Member]:
    """Return the members, those with folds first; of several values of the axis ``passes``, the highest takes part.

    Raises UsageError where one lacks a fold or a split, where there is none with folds, or for other targets than two
    classes.
    """
    most = [max(group.runs, key=lambda run: run.axes.get(passes, 1)) for group in group_runs(runs, [passes])]
    folded = [run for run in most if FOLD in run.axes]
    if not folded:
        raise UsageError("blend: no parent has folds and has left predictions; see `after` of its stage")
    members = [*_with_folds(folded, passes), *(_without_folds(run) for run in most if FOLD not in run.axes)]
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"blend: two members are called {name}; blend these stages apart")
    return members


def _with_folds(runs: Sequence[Run], passes: str) -> Iterator[Member]:
    folds = with_companions(runs, [FOLD])
    groups = group_runs(runs, folds)
    refuse(find_gaps(groups, folds, None), "blend")
    found: dict[str, dict[str, Mapping[str, MeanPredictions]]] = {}
    for each in ensembles(runs, FOLD, planned=runs):
        found.setdefault(each.group.key, {})[each.split] = each.heads
    for group in groups:
        name = axes_text(without(group.axes, [passes])) or group.stage
        yield Member(name, group.stage, _checked(found[group.key], name), _folds(group.runs))


def _folds(runs: Sequence[Run]) -> dict[str, int]:
    [pooled] = pool(runs, DEVELOPMENT).values()
    return {name: runs[at].axes[FOLD] for name, at in zip(pooled.rows.sample_ids, pooled.sources, strict=True)}


def _without_folds(run: Run) -> Member:
    name = axes_text(run.axes) or run.stage
    heads = {split: next(read_runs([run], split)) for split in (DEVELOPMENT, TEST)}
    means = {
        split: {head.head: MeanPredictions(head, probabilities(head.logits), 1) for head in own}
        for split, own in heads.items()
    }
    return Member(name, run.stage, _checked(means, name))


def _checked(splits: Mapping[str, Mapping[str, MeanPredictions]], name: str) -> dict[str, MeanPredictions]:
    """The only head of each split."""
    for split in (DEVELOPMENT, TEST):
        if split not in splits:
            raise UsageError(f"blend: {name} has left no predictions of split {split!r}")
        if len(splits[split]) != 1:
            raise UsageError(f"blend: {name} has the heads {', '.join(splits[split])}; one is blended")
    means = {split: next(iter(splits[split].values())) for split in (DEVELOPMENT, TEST)}
    if any(mean.rows.is_regression or mean.values.shape[1] != 2 for mean in means.values()):
        raise UsageError(f"blend: {name} has other targets than two classes; the probability of class 1 is blended")
    return means


def side_by_side(members: Sequence[Member]) -> Members:
    """Return the members on the samples of the first.

    Raises UsageError where one lacks some of these, has other targets, other folds, or other test samples.
    """
    first, *others = members
    assert first.folds is not None
    development, test = first.table(DEVELOPMENT), first.table(TEST)
    for other in others:
        _refuse_unlike(first, other)
    ids = development.index
    return Members(
        members=members,
        targets=development["target"].to_numpy(),
        folds=np.array([first.folds[name] for name in ids]),
        development=np.stack([each.table(DEVELOPMENT)["p"].loc[ids].to_numpy() for each in members], axis=1),
        test=np.stack([each.table(TEST)["p"].loc[test.index].to_numpy() for each in members], axis=1),
    )


def _refuse_unlike(first: Member, other: Member) -> None:
    both = f"blend: {first.name} and {other.name}"
    if other.folds is not None and other.folds != first.folds:
        raise UsageError(f"{both} have other folds; divide their samples in one way")
    for split in (DEVELOPMENT, TEST):
        wanted, there = first.table(split), other.table(split)
        absent = wanted.index.difference(there.index)
        if len(absent):
            lacking = counted(len(absent), "sample")
            raise UsageError(
                f"{both}: the second lacks {lacking} of split {split!r} ({absent[0]}); predict all of them"
            )
        if split == DEVELOPMENT and (wanted["target"] != there["target"].loc[wanted.index]).any():
            raise UsageError(f"{both}: targets of the same samples differ; blend models of one task")
        if split == TEST and len(there) > len(wanted):
            raise UsageError(f"{both}: the first lacks test samples of the second; predict all of them")
