"""The members of a blend: each setting of its parent stages, with the probability of class 1 for every sample.

A member with folds has out-of-fold predictions of the development samples, and mean predictions over the folds for the
test samples. A member without folds, such as the mean of `seedfold.results.stages.mean`, has one prediction per sample,
perhaps for more samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.results.ensembles.mean_ensemble import iterate_ensembles
from seedfold.results.evaluation.averaging import MeanPredictions
from seedfold.results.evaluation.axes import format_axes, group_runs, without_axes
from seedfold.results.evaluation.folds import FOLD_AXIS, add_zipped_axes, find_gaps, refuse_gaps
from seedfold.results.evaluation.pooling import pool_runs, read_runs
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import probabilities

if TYPE_CHECKING:
    import pandas as pd

DEVELOPMENT_SPLIT, TEST_SPLIT = "val", "test"
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlendMember:
    """A setting of a stage: predictions by split, and the fold that held out each sample, if there are folds."""

    name: str
    stage: str
    means_by_split: Mapping[str, MeanPredictions]
    folds: Mapping[str, int] | None = None

    def probability_table(self, split: str) -> pd.DataFrame:
        """Return the columns target and p, the probability of class 1, indexed by sample."""
        import pandas as pd

        rows = self.means_by_split[split].first_member
        columns = {"target": rows.targets, "p": self.means_by_split[split].values[:, 1]}
        return pd.DataFrame(columns, index=pd.Index(rows.sample_ids))


@dataclass(frozen=True)
class BlendMatrix:
    """Members side by side: ``targets`` and ``folds`` (n,), ``development`` (n, m) and ``test`` (k, m) probabilities.

    Rows are in the order of the first member, which has folds.
    """

    members: Sequence[BlendMember]
    targets: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    development: Array
    test: Array

    @property
    def names(self) -> list[str]:
        """The names of the members, in order."""
        return [each.name for each in self.members]

    def to_predictions(self, split: str, values: Array) -> MeanPredictions:
        """Return probabilities of class 1 as predictions of the samples of a split."""
        return MeanPredictions(
            self.members[0].means_by_split[split].first_member, np.stack([1 - values, values], 1), len(self.members)
        )


def find_members(runs: Sequence[FinishedJob], passes: str) -> list[BlendMember]:
    """Return the members, those with folds first; if the axis ``passes`` has several values, the highest takes part.

    Raises UsageError if a member lacks a fold or a split, if no member has folds, or if there are not two classes.
    """
    most_passes = [max(group.runs, key=lambda run: run.axes.get(passes, 1)) for group in group_runs(runs, [passes])]
    runs_with_folds = [run for run in most_passes if FOLD_AXIS in run.axes]
    if not runs_with_folds:
        raise UsageError("blend: no parent has both folds and predictions; see `after` of its stage")
    members = [
        *_members_with_folds(runs_with_folds, passes),
        *(_member_without_folds(run) for run in most_passes if FOLD_AXIS not in run.axes),
    ]
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"blend: two members are called {name}; blend these stages separately")
    return members


def _members_with_folds(runs: Sequence[FinishedJob], passes: str) -> Iterator[BlendMember]:
    folds = add_zipped_axes(runs, [FOLD_AXIS])
    groups = group_runs(runs, folds)
    refuse_gaps(find_gaps(groups, folds, None), "blend")
    means_by_group: dict[str, dict[str, Mapping[str, MeanPredictions]]] = {}
    for each in iterate_ensembles(runs, FOLD_AXIS, planned=runs):
        means_by_group.setdefault(each.group.address_text, {})[each.split] = each.means_by_head
    for group in groups:
        name = format_axes(without_axes(group.axes, [passes])) or group.stage
        yield BlendMember(
            name, group.stage, _require_one_head(means_by_group[group.address_text], name), _fold_by_sample(group.runs)
        )


def _fold_by_sample(runs: Sequence[FinishedJob]) -> dict[str, int]:
    [pooled] = pool_runs(runs, DEVELOPMENT_SPLIT).values()
    return {
        name: runs[position].axes[FOLD_AXIS]
        for name, position in zip(pooled.rows.sample_ids, pooled.sources, strict=True)
    }


def _member_without_folds(run: FinishedJob) -> BlendMember:
    name = format_axes(run.axes) or run.stage
    heads = {split: next(read_runs([run], split)) for split in (DEVELOPMENT_SPLIT, TEST_SPLIT)}
    means = {
        split: {head.head: MeanPredictions(head, probabilities(head.logits), 1) for head in split_heads}
        for split, split_heads in heads.items()
    }
    return BlendMember(name, run.stage, _require_one_head(means, name))


def _require_one_head(splits: Mapping[str, Mapping[str, MeanPredictions]], name: str) -> dict[str, MeanPredictions]:
    """Return the only head of each split."""
    for split in (DEVELOPMENT_SPLIT, TEST_SPLIT):
        if split not in splits:
            raise UsageError(f"blend: {name} has no predictions of split {split!r}")
        if len(splits[split]) != 1:
            raise UsageError(f"blend: {name} has the heads {', '.join(splits[split])}; a blend needs exactly one")
    means = {split: next(iter(splits[split].values())) for split in (DEVELOPMENT_SPLIT, TEST_SPLIT)}
    if any(mean.first_member.is_regression or mean.values.shape[1] != 2 for mean in means.values()):
        raise UsageError(f"blend: {name} does not have two classes; a blend averages the probability of class 1")
    return means


def align_members(members: Sequence[BlendMember]) -> BlendMatrix:
    """Return all members on the samples of the first member.

    Raises UsageError if a member lacks some of these, or has other targets, folds or test samples.
    """
    first, *others = members
    assert first.folds is not None
    development, test = first.probability_table(DEVELOPMENT_SPLIT), first.probability_table(TEST_SPLIT)
    for other in others:
        _refuse_mismatch(first, other)
    ids = development.index
    return BlendMatrix(
        members=members,
        targets=development["target"].to_numpy(),
        folds=np.array([first.folds[name] for name in ids]),
        development=np.stack(
            [each.probability_table(DEVELOPMENT_SPLIT)["p"].loc[ids].to_numpy() for each in members], axis=1
        ),
        test=np.stack([each.probability_table(TEST_SPLIT)["p"].loc[test.index].to_numpy() for each in members], axis=1),
    )


def _refuse_mismatch(first: BlendMember, other: BlendMember) -> None:
    names = f"blend: {first.name} and {other.name}"
    if other.folds is not None and other.folds != first.folds:
        raise UsageError(f"{names} have different folds; divide their samples in the same way")
    for split in (DEVELOPMENT_SPLIT, TEST_SPLIT):
        first_table, other_table = first.probability_table(split), other.probability_table(split)
        missing = first_table.index.difference(other_table.index)
        if len(missing):
            missing_text = count_noun(len(missing), "sample")
            raise UsageError(
                f"{names}: the second lacks {missing_text} of split {split!r} ({missing[0]}); predict all of them"
            )
        if split == DEVELOPMENT_SPLIT and (first_table["target"] != other_table["target"].loc[first_table.index]).any():
            raise UsageError(f"{names}: targets of the same samples differ; blend models of one task")
        if split == TEST_SPLIT and len(other_table) > len(first_table):
            raise UsageError(f"{names}: the first lacks test samples of the second; predict all of them")
