"""Ensembles of the best members, for every number of them, and what they are worth.

Members are chosen and ranked on validation rows, so that the score of their ensemble on the same rows is too good. The
honest score chooses for each fold on the validation rows of the other folds: which settings take part, their order and,
where it is asked for, their number. (What remains is that each model chose its best epoch on its own fold.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.errors import UsageError, counted
from seedfold.results.ensembles.members import (
    PREFIX,
    VALIDATION,
    Member,
    Ranking,
    fewest,
    mean_merit,
    means_over_folds,
    named,
    put_together,
    ranked,
    top_means,
    validation_folds,
)
from seedfold.results.store.metrics import LOWER_IS_BETTER, score
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

OWN, OTHERS, OTHERS_AND_N = "own fold", "other folds", "other folds, n too"


@dataclass(frozen=True)
class Choice:
    """Which members take part: those of at least ``min_accuracy``, or those that meet any condition in ``members``.

    ``rank_by`` orders them. ``n`` is the number of members to use; None for the best number.
    """

    min_accuracy: float = 0.6
    rank_by: str = "auroc"
    members: tuple[str, ...] | None = None
    n: int | None = None

    def ranking(self, members: Sequence[Member]) -> Ranking:
        """Return those that take part in each fold, the best first. Raises UsageError for a fold that has none."""
        taking_part = members if self.members is None else named(members, self.members)
        if self.members is None:
            taking_part = [each for each in members if each.merit("accuracy") >= self.min_accuracy]
        ranking = ranked(taking_part, self.rank_by)
        for fold in dict.fromkeys(member.fold for member in members):
            if fold not in ranking:
                raise UsageError(f"ensemble: {self._nobody(members, fold)}")
        return ranking

    def _nobody(self, members: Sequence[Member], fold: str) -> str:
        if self.members is not None:
            return f"{fold}: none of its members is listed; list some of every fold"
        best = max(each.merit("accuracy") for each in members if each.fold == fold)
        return (
            f"{fold}: no member has an accuracy of {self.min_accuracy:g}, the best has {best:.3f}; lower min_accuracy"
        )


@dataclass(frozen=True)
class CrossFitted:
    """Ensembles on validation rows whose members other folds have chosen: for each n, and with n chosen there, too.

    ``by_fold`` has for each n the rows of each fold, ``best_by_fold`` those of each fold by its own number ``n``.
    """

    by_fold: Sequence[Sequence[HeadPredictions]]
    best_by_fold: Sequence[HeadPredictions]
    n: Mapping[str, int]

    @property
    def best(self) -> HeadPredictions:
        """The rows of all folds, each by the number of members that the other folds chose."""
        return put_together(self.best_by_fold)


def cross_fitted(members: Sequence[Member], choice: Choice) -> CrossFitted | None:
    """Choose for each fold on the others; None where there is one fold only, or the others choose nobody.

    Only settings that every fold has can be chosen.
    """
    given = members if choice.members is None else named(members, choice.members)
    folds = list(dict.fromkeys(member.fold for member in given))
    settings = _settings(given, folds)
    if len(folds) < 2:
        return None
    curves: dict[str, list[HeadPredictions]] = {}
    best_n: dict[str, int] = {}
    for fold in folds:
        others = [other for other in folds if other != fold]
        chosen = _chosen(settings, others, choice)
        if not chosen:
            return None
        best_n[fold] = best_number(validation_folds({f: [each[f] for each in chosen] for f in others}), choice.rank_by)
        curves[fold] = list(top_means([each[fold] for each in chosen], VALIDATION))
    number = min(map(len, curves.values()))
    by_fold = [[curves[fold][n] for fold in folds] for n in range(number)]
    return CrossFitted(by_fold, [curves[fold][best_n[fold] - 1] for fold in folds], best_n)


_Setting = Mapping[str, Member]
"""The members of one setting by fold."""


def _settings(members: Sequence[Member], folds: Collection[str]) -> list[_Setting]:
    found: dict[str, dict[str, Member]] = {}
    for member in members:
        found.setdefault(member.setting, {})[member.fold] = member
    return [each for each in found.values() if len(each) == len(folds)]


def _chosen(settings: Sequence[_Setting], folds: Collection[str], choice: Choice) -> list[_Setting]:
    """The settings that these folds choose, the best first."""

    def mean(setting: _Setting, metric: str) -> float:
        return float(np.mean([setting[fold].merit(metric) for fold in folds]))

    able = [each for each in settings if choice.members or mean(each, "accuracy") >= choice.min_accuracy]
    return sorted(able, key=lambda each: -mean(each, choice.rank_by))


def best_number(curve: Sequence[Sequence[HeadPredictions]], metric: str) -> int:
    """Return the number of members, from 1, whose ensembles are best in the mean of the folds; the first of several."""
    return int(np.argmax([mean_merit(folds, metric) for folds in curve])) + 1


@dataclass(frozen=True)
class Ensembles:
    """All ensembles of a study. ``test`` has those of each other split; ``n`` is the number of members to use.

    ``by_fold`` has for each number of members the validation rows of each fold; ``rank_by`` has chosen.
    """

    ranking: Ranking
    rank_by: str
    by_fold: Sequence[Sequence[HeadPredictions]]
    honest: CrossFitted | None
    test: Mapping[str, Sequence[HeadPredictions]]
    n: int

    @cached_property
    def validation(self) -> Sequence[HeadPredictions]:
        """For each number of members the validation rows of all folds."""
        return [put_together(folds) for folds in self.by_fold]

    def table(self) -> pd.DataFrame:
        """Return split, chosen_on, n, models, samples and metrics, a row an ensemble; n is null where folds differ.

        Metrics are of the rows of all folds together; ``mean_of_folds``, of the metric that ranks, is the mean over the
        folds of validation rows, and null elsewhere. ``chosen_on`` says whose validation rows have chosen the members.
        Splits whose targets are unknown have no rows.
        """
        import pandas as pd

        frame = pd.DataFrame(self._rows())
        return frame.astype({"n": "Int64", "models": "Int64"})

    def _rows(self) -> Iterator[dict[str, Any]]:
        yield from self._validated(OWN, self.by_fold)
        if self.honest is not None:
            yield from self._validated(OTHERS, self.honest.by_fold)
            yield {**next(self._validated(OTHERS_AND_N, [self.honest.best_by_fold])), "n": None, "models": None}
        for split, curve in self.test.items():
            if curve[0].known.any():
                for n, each in enumerate(curve, start=1):
                    yield {**_row(split, OWN, n, n * len(self.ranking), each), "mean_of_folds": None}

    def _validated(self, chosen_on: str, curve: Sequence[Sequence[HeadPredictions]]) -> Iterator[dict[str, Any]]:
        sign = -1 if self.rank_by in LOWER_IS_BETTER else 1
        for n, folds in enumerate(curve, start=1):
            mean = sign * mean_merit(folds, self.rank_by)
            yield {**_row(VALIDATION, chosen_on, n, n, put_together(folds)), "mean_of_folds": mean}

    def members(self, metric: str) -> pd.DataFrame:
        """Return fold, rank, job, head, axes, accuracy and the metric that ranks, and whether the member is used."""
        import pandas as pd

        rows = [
            {
                "fold": fold.removeprefix(PREFIX),
                "rank": rank,
                "used": rank <= self.n,
                "job": member.run.short_id,
                "head": member.head,
            }
            | {"accuracy": member.scores["accuracy"], metric: member.scores[metric]}
            | {name: str(value) for name, value in member.run.axes.items() if name != "fold"}
            for fold, members in self.ranking.items()
            for rank, member in enumerate(members, start=1)
        ]
        return pd.DataFrame(rows)


def _row(split: str, chosen_on: str, n: int | None, models: int | None, head: HeadPredictions) -> dict[str, Any]:
    found = {"split": split, "chosen_on": chosen_on, "n": n, "models": models, "samples": int(head.known.sum())}
    return {**found, **score(head)}


def make_ensembles(members: Sequence[Member], choice: Choice) -> Ensembles:
    """Return the ensembles of the members that the choice lets take part.

    The number of members to use is the one that is best where the members were chosen on other folds; where that
    cannot be said, where they were chosen on their own. Raises UsageError where a fold has no member, or too few.
    """
    ranking = choice.ranking(members)
    by_fold, honest = validation_folds(ranking), cross_fitted(members, choice)
    splits = [split for split in members[0].splits if split != VALIDATION]
    curve = (by_fold if honest is None else honest.by_fold)[: len(by_fold)]
    number = best_number(curve, choice.rank_by) if choice.n is None else choice.n
    if not 1 <= number <= fewest(ranking):
        there = counted(fewest(ranking), "member")
        raise UsageError(f"ensemble.n: {number} is not from 1 to what every fold has, {there}")
    test = {split: means_over_folds(ranking, split) for split in splits}
    return Ensembles(ranking, choice.rank_by, by_fold, honest, test, number)
