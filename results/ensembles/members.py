"""Members of ensembles: the heads of models, each with its scores on the validation rows of its own fold.

No member is scored on rows that it trained on: validation rows are those of its fold, and rows of other splits are
nobody's to train on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import pyarrow as pa

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.averaging import Mean
from seedfold.results.evaluation.axes import find_axes, key_of, select, without
from seedfold.results.evaluation.folds import FOLD, fold_text, having
from seedfold.results.evaluation.pooling import read_runs
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import Run
from seedfold.results.store.metrics import LOWER_IS_BETTER, Scores, score
from seedfold.results.store.predictions import HeadPredictions

VALIDATION, TRAINED_ON = "val", "train"
PREFIX = f"{FOLD} "
"""What the text of a fold begins with."""

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Member:
    """One head of one model, with its rows by split; ``fold`` is the model's fold as text.

    ``setting`` tells it from the other members of its fold, and is the same text in every fold.
    """

    run: Run
    head: str
    fold: str
    setting: str
    splits: Mapping[str, HeadPredictions]

    @property
    def name(self) -> str:
        """The job's short id and the head."""
        return f"{self.run.short_id}/{self.head}"

    @cached_property
    def scores(self) -> Scores:
        """Its metrics on the validation rows of its fold."""
        return score(self.splits[VALIDATION])

    def merit(self, metric: str) -> float:
        """Return the `merit` of its scores."""
        return merit(self.scores, metric)


def merit(scores: Scores, metric: str) -> float:
    """Return a metric as a number of which more is better, -infinity where it is undefined.

    Raises UsageError for a metric that there is not.
    """
    if metric not in scores:
        raise UsageError(f"ensemble.rank_by: no metric {metric!r}; known: {', '.join(scores)}")
    found = scores[metric]
    if found is None:
        return -np.inf
    return -found if metric in LOWER_IS_BETTER else found


Ranking = Mapping[str, Sequence[Member]]
"""The members of each fold, the best first."""


def read_members(runs: Sequence[Run], fold: str = FOLD) -> list[Member]:
    """Read every head of every run that validated, on all splits but the one trained on, in the order of the runs.

    Where some runs are of a fold, the others are none of these models. Raises UsageError where there is no run, and for
    a split that only some of them have.
    """
    files = split_files(runs)
    able = [each.run for each in files if each.split == VALIDATION]
    axes = find_axes(able, [fold]) if any(fold in run.axes for run in able) else []
    able = having(able, axes)
    if not able:
        raise UsageError(f"ensemble: no run has predictions of split {VALIDATION!r}")
    ids = {run.id for run in able}
    splits = dict.fromkeys(each.split for each in files if each.run.id in ids and each.split != TRAINED_ON)
    heads = {split: [{head.head: head for head in found} for found in read_runs(able, split)] for split in splits}
    return [
        Member(run, head, fold_text(run, axes), _setting(run, axes, head), {s: heads[s][at][head] for s in splits})
        for at, run in enumerate(able)
        for head in heads[VALIDATION][at]
    ]


def _setting(run: Run, folds: Sequence[str], head: str) -> str:
    return f"{key_of(run.stage, without(run.axes, folds))}/{head}"


def named(members: Sequence[Member], conditions: Collection[str]) -> list[Member]:
    """Return the members that meet any of the conditions, on axes, ``stage``, ``job`` and ``head``.

    Raises UsageError for a condition that none meets.
    """
    chosen: set[str] = set()
    for condition in conditions:
        runs, terms = select([member.run for member in members], condition, ("head",))
        ids = {run.id for run in runs}
        found = {each.name for each in members if each.run.id in ids and all(term.holds(each.head) for term in terms)}
        if not found:
            raise UsageError(f"ensemble.members: {condition!r} is met by no head of any job")
        chosen |= found
    return [member for member in members if member.name in chosen]


def ranked(members: Sequence[Member], metric: str) -> dict[str, list[Member]]:
    """Return the members of each fold by a validation metric, the best first, and among equals the earlier."""
    folds: dict[str, list[Member]] = {}
    for member in members:
        folds.setdefault(member.fold, []).append(member)
    return {fold: sorted(found, key=lambda each: -each.merit(metric)) for fold, found in folds.items()}


def top_means(members: Sequence[Member], split: str) -> Iterator[HeadPredictions]:
    """Yield the mean probabilities of the first member, of the first two, … on a split, as logits."""
    mean = Mean(members[0].splits[split], members[0].name)
    for member in members:
        mean.add(member.splits[split], member.name)
        found = mean.result()
        logits = np.log(np.maximum(found.values, _TINY)).astype(np.float32)
        yield HeadPredictions(f"top_{found.members}", found.rows.ids, found.rows.targets, found.rows.known, logits)


def fewest(ranking: Ranking) -> int:
    """Return how many members every fold has at least."""
    return min(len(members) for members in ranking.values())


def validation_folds(ranking: Ranking) -> list[list[HeadPredictions]]:
    """Return the ensembles of the best, the best two, … on the validation rows of each fold, each fold by its own."""
    counted = fewest(ranking)
    folds = [list(islice(top_means(members, VALIDATION), counted)) for members in ranking.values()]
    return [list(parts) for parts in zip(*folds, strict=True)]


def validation_means(ranking: Ranking) -> list[HeadPredictions]:
    """Return the same ensembles with the rows of all folds put together."""
    return [put_together(parts) for parts in validation_folds(ranking)]


def mean_merit(folds: Sequence[HeadPredictions], metric: str) -> float:
    """Return the mean `merit` of the folds in which the metric is defined, -infinity where it is in none.

    Folds are scored one by one: metrics that rank samples would otherwise also rank those of one fold against those of
    others, whose models need not agree in scale.
    """
    found = [merit(score(each), metric) for each in folds]
    defined = [each for each in found if np.isfinite(each)]
    return float(np.mean(defined)) if defined else -np.inf


def means_over_folds(ranking: Ranking, split: str) -> list[HeadPredictions]:
    """Return the ensembles of the best, the best two, … of every fold on a split that is nobody's to train on."""
    in_turn = [members[rank] for rank in range(fewest(ranking)) for members in ranking.values()]
    return list(top_means(in_turn, split))[len(ranking) - 1 :: len(ranking)]


def put_together(parts: Sequence[HeadPredictions]) -> HeadPredictions:
    """Return the rows of several folds, one after another."""
    return HeadPredictions(
        parts[0].head,
        pa.concat_arrays([part.ids for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.known for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
