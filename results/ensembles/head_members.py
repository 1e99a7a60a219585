"""Members of ensembles: the heads of models, each with its scores on the validation rows of its own fold.

No member is scored on rows that it trained on: validation rows are those of its fold, and no member trains on rows of
other splits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import pyarrow as pa

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.averaging import RunningMean
from seedfold.results.evaluation.axes import address_key, find_axes, select_runs, without_axes
from seedfold.results.evaluation.folds import FOLD_AXIS, fold_text, with_axes
from seedfold.results.evaluation.pooling import read_runs
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.metrics import LOWER_IS_BETTER, Scores, head_metrics
from seedfold.results.store.predictions import HeadPredictions

VALIDATION_SPLIT, TRAINING_SPLIT = "val", "train"
FOLD_PREFIX = f"{FOLD_AXIS} "
"""The prefix of the text of a fold."""

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class HeadMember:
    """One head of one model, with its rows by split; ``fold`` is the model's fold as text.

    ``setting`` distinguishes it from the other members of its fold, and is the same text in every fold.
    """

    run: FinishedJob
    head: str
    fold: str
    setting: str
    rows_by_split: Mapping[str, HeadPredictions]

    @property
    def name(self) -> str:
        """Return the short id of the job, and the head."""
        return f"{self.run.short_id}/{self.head}"

    @cached_property
    def metrics(self) -> Scores:
        """Return its metrics on the validation rows of its fold."""
        return head_metrics(self.rows_by_split[VALIDATION_SPLIT])

    def merit_by(self, metric: str) -> float:
        """Return `merit_of` its metrics."""
        return merit_of(self.metrics, metric)


def merit_of(scores: Scores, metric: str) -> float:
    """Return a metric as a number that is larger for a better model; -infinity if the metric is undefined.

    Raises UsageError for an unknown metric.
    """
    if metric not in scores:
        raise UsageError(f"ensemble.rank_by: no metric {metric!r}; known: {', '.join(scores)}")
    found = scores[metric]
    if found is None:
        return -np.inf
    return -found if metric in LOWER_IS_BETTER else found


Ranking = Mapping[str, Sequence[HeadMember]]
"""The members of each fold, the best first."""


def read_members(runs: Sequence[FinishedJob], fold: str = FOLD_AXIS) -> list[HeadMember]:
    """Read every head of every run that validated, on all splits except the training split, in the order of the runs.

    If some runs have a fold, runs without one are left out. Raises UsageError if there is no run, and for a split that
    only some of them have.
    """
    files = split_files(runs)
    validated_runs = [each.run for each in files if each.split == VALIDATION_SPLIT]
    axes = find_axes(validated_runs, [fold]) if any(fold in run.axes for run in validated_runs) else []
    validated_runs = with_axes(validated_runs, axes)
    if not validated_runs:
        raise UsageError(f"ensemble: no run has predictions of split {VALIDATION_SPLIT!r}")
    ids = {run.id for run in validated_runs}
    splits = dict.fromkeys(each.split for each in files if each.run.id in ids and each.split != TRAINING_SPLIT)
    heads = {
        split: [{head.head: head for head in found} for found in read_runs(validated_runs, split)] for split in splits
    }
    return [
        HeadMember(
            run,
            head,
            fold_text(run, axes),
            _setting_text(run, axes, head),
            {s: heads[s][position][head] for s in splits},
        )
        for position, run in enumerate(validated_runs)
        for head in heads[VALIDATION_SPLIT][position]
    ]


def _setting_text(run: FinishedJob, folds: Sequence[str], head: str) -> str:
    return f"{address_key(run.stage, without_axes(run.axes, folds))}/{head}"


def select_members(members: Sequence[HeadMember], conditions: Collection[str]) -> list[HeadMember]:
    """Return the members that meet one of the conditions on axes, ``stage``, ``job`` and ``head``.

    Raises UsageError for a condition that no member meets.
    """
    chosen: set[str] = set()
    for condition in conditions:
        runs, terms = select_runs([member.run for member in members], condition, ("head",))
        ids = {run.id for run in runs}
        found = {each.name for each in members if each.run.id in ids and all(term.holds(each.head) for term in terms)}
        if not found:
            raise UsageError(f"ensemble.members: {condition!r} is met by no head of any job")
        chosen |= found
    return [member for member in members if member.name in chosen]


def rank_members(members: Sequence[HeadMember], metric: str) -> dict[str, list[HeadMember]]:
    """Return the members of each fold by a validation metric, the best first; equally good ones keep their order."""
    folds: dict[str, list[HeadMember]] = {}
    for member in members:
        folds.setdefault(member.fold, []).append(member)
    return {fold: sorted(found, key=lambda each: -each.merit_by(metric)) for fold, found in folds.items()}


def iterate_top_means(members: Sequence[HeadMember], split: str) -> Iterator[HeadPredictions]:
    """Yield the mean probabilities of the first member, of the first two, … on a split, as logits."""
    mean = RunningMean(members[0].rows_by_split[split], members[0].name)
    for member in members:
        mean.add(member.rows_by_split[split], member.name)
        ensemble = mean.mean()
        logits = np.log(np.maximum(ensemble.values, _TINY)).astype(np.float32)
        yield HeadPredictions(
            f"top_{ensemble.member_count}",
            ensemble.first_member.ids,
            ensemble.first_member.targets,
            ensemble.first_member.known,
            logits,
        )


def most_members(ranking: Ranking) -> int:
    """Return how many members the fold with the most of them has."""
    return max(len(members) for members in ranking.values())


def extend_curves(curves: Sequence[Sequence[HeadPredictions]]) -> list[list[HeadPredictions]]:
    """Return for each number of members the ensembles of all folds; a fold that has fewer members takes all it has."""
    longest = max(map(len, curves))
    return [[curve[min(n, len(curve) - 1)] for curve in curves] for n in range(longest)]


def fold_curves_on_validation(ranking: Ranking) -> list[list[HeadPredictions]]:
    """Return the ensembles of the best, the best two, … members of each fold on the validation rows of this fold.

    They go up to the fold with the most members.
    """
    return extend_curves([list(iterate_top_means(members, VALIDATION_SPLIT)) for members in ranking.values()])


def mean_curves_on_validation(ranking: Ranking) -> list[HeadPredictions]:
    """Return the same ensembles with the rows of all folds put together."""
    return [concatenate_heads(parts) for parts in fold_curves_on_validation(ranking)]


def mean_merit(folds: Sequence[HeadPredictions], metric: str) -> float:
    """Return the mean `merit_of` over the folds in which the metric is defined; -infinity if there is no such fold.

    Folds are scored one by one: metrics that rank samples would otherwise also rank samples of different folds against
    each other, whose models need not agree in scale.
    """
    found = [merit_of(head_metrics(each), metric) for each in folds]
    defined = [each for each in found if np.isfinite(each)]
    return float(np.mean(defined)) if defined else -np.inf


def mean_curve_over_folds(ranking: Ranking, split: str) -> list[HeadPredictions]:
    """Return the ensembles of the best, the best two, … of every fold on a split that no member trains on.

    They go up to the fold with the most members. Each member counts the same.
    """
    ranks = range(most_members(ranking))
    by_rank = [[members[rank] for members in ranking.values() if rank < len(members)] for rank in ranks]
    means = list(iterate_top_means([member for members in by_rank for member in members], split))
    return [means[count - 1] for count in accumulate(map(len, by_rank))]


def concatenate_heads(parts: Sequence[HeadPredictions]) -> HeadPredictions:
    """Return the rows of several folds, one after another."""
    return HeadPredictions(
        parts[0].head,
        pa.concat_arrays([part.ids for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.known for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
