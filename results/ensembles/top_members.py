"""Ensembles of the best members, for every number of members, and their scores.

Members are chosen and ranked on validation rows, so that the score of their ensemble on the same rows is too good. For
an honest score, the choice for each fold is made on the validation rows of the other folds: which settings take part,
their order and, if it is asked for, their number. (What remains is that each model chose its best epoch on its own
fold.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.results.ensembles.head_members import (
    FOLD_PREFIX,
    VALIDATION_SPLIT,
    HeadMember,
    Ranking,
    concatenate_heads,
    extend_curves,
    fold_curves_on_validation,
    iterate_top_means,
    mean_curve_over_folds,
    mean_merit,
    most_members,
    rank_members,
    select_members,
)
from seedfold.results.store.metrics import LOWER_IS_BETTER, head_metrics
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

OWN_FOLD, OTHER_FOLDS, OTHER_FOLDS_AND_N = "own fold", "other folds", "other folds, n too"


@dataclass(frozen=True)
class MemberChoice:
    """Which members take part: those with at least ``min_accuracy``, or those that meet one condition in ``members``.

    ``rank_by`` orders them. ``n`` is the number of members to use; None for the best number.
    """

    min_accuracy: float = 0.6
    rank_by: str = "auroc"
    members: tuple[str, ...] | None = None
    n: int | None = None

    def ranking(self, members: Sequence[HeadMember]) -> Ranking:
        """Return the members that take part in each fold, the best first; a fold without any is left out.

        Raises UsageError if there is no member at all.
        """
        chosen = members if self.members is None else select_members(members, self.members)
        if self.members is None:
            chosen = [each for each in members if each.merit_by("accuracy") >= self.min_accuracy]
        ranking = rank_members(chosen, self.rank_by)
        if not ranking:
            raise UsageError(f"ensemble: {self.no_member_message(members, members[0].fold)}")
        return ranking

    def no_member_message(self, members: Sequence[HeadMember], fold: str) -> str:
        """Say why a fold has no member."""
        if self.members is not None:
            return f"{fold}: none of its members is listed"
        best = max(each.merit_by("accuracy") for each in members if each.fold == fold)
        return (
            f"{fold}: no member has an accuracy of {self.min_accuracy:g}, the best has {best:.3f}; lower min_accuracy"
        )


@dataclass(frozen=True)
class CrossFittedEnsembles:
    """Ensembles on validation rows with members chosen on other folds: for each n, and for the n chosen there.

    ``fold_curves`` has for each n the rows of each fold; ``best_by_fold`` has the rows of each fold with the number of
    members in ``n_by_fold``.
    """

    fold_curves: Sequence[Sequence[HeadPredictions]]
    best_by_fold: Sequence[HeadPredictions]
    n_by_fold: Mapping[str, int]

    @property
    def best(self) -> HeadPredictions:
        """Return the rows of all folds, each with the number of members that was chosen on the other folds."""
        return concatenate_heads(self.best_by_fold)


def cross_fit(members: Sequence[HeadMember], choice: MemberChoice) -> CrossFittedEnsembles | None:
    """Choose members for each fold on the others; None if there is only one fold, or if no member is chosen.

    Only settings that every fold has can be chosen.
    """
    allowed = members if choice.members is None else select_members(members, choice.members)
    folds = list(dict.fromkeys(member.fold for member in allowed))
    settings = _settings_in_all_folds(allowed, folds)
    if len(folds) < 2:
        return None
    curves: dict[str, list[HeadPredictions]] = {}
    best_n: dict[str, int] = {}
    for fold in folds:
        others = [other for other in folds if other != fold]
        chosen = _choose_settings(settings, others, choice)
        if not chosen:
            return None
        best_n[fold] = best_member_count(
            fold_curves_on_validation({f: [each[f] for each in chosen] for f in others}), choice.rank_by
        )
        curves[fold] = list(iterate_top_means([each[fold] for each in chosen], VALIDATION_SPLIT))
    fold_curves = extend_curves([curves[fold] for fold in folds])
    return CrossFittedEnsembles(fold_curves, [curves[fold][best_n[fold] - 1] for fold in folds], best_n)


_Setting = Mapping[str, HeadMember]
"""The members of one setting by fold."""


def _settings_in_all_folds(members: Sequence[HeadMember], folds: Collection[str]) -> list[_Setting]:
    found: dict[str, dict[str, HeadMember]] = {}
    for member in members:
        found.setdefault(member.setting, {})[member.fold] = member
    return [each for each in found.values() if len(each) == len(folds)]


def _choose_settings(settings: Sequence[_Setting], folds: Collection[str], choice: MemberChoice) -> list[_Setting]:
    """Return the settings that are chosen on these folds, the best first."""

    def mean(setting: _Setting, metric: str) -> float:
        return float(np.mean([setting[fold].merit_by(metric) for fold in folds]))

    good_enough = [each for each in settings if choice.members or mean(each, "accuracy") >= choice.min_accuracy]
    return sorted(good_enough, key=lambda each: -mean(each, choice.rank_by))


def best_member_count(curve: Sequence[Sequence[HeadPredictions]], metric: str) -> int:
    """Return the number of members (from 1) with the best ensembles in the mean of the folds, the first of several."""
    return int(np.argmax([mean_merit(folds, metric) for folds in curve])) + 1


@dataclass(frozen=True)
class TopMemberEnsembles:
    """All ensembles of a study. ``curve_by_test_split`` holds those on other splits; the best ``n`` members are used.

    ``fold_curves`` has for each number of members the validation rows of each fold; ``rank_by`` is the metric that
    ranks. ``left_out`` says why folds without a member are in none of them.
    """

    ranking: Ranking
    rank_by: str
    fold_curves: Sequence[Sequence[HeadPredictions]]
    cross_fitted: CrossFittedEnsembles | None
    curve_by_test_split: Mapping[str, Sequence[HeadPredictions]]
    n: int
    left_out: Sequence[str] = ()

    @cached_property
    def validation_curve(self) -> Sequence[HeadPredictions]:
        """Return for each number of members the validation rows of all folds."""
        return [concatenate_heads(folds) for folds in self.fold_curves]

    def score_table(self) -> pd.DataFrame:
        """Return split, chosen_on, n, models, samples and metrics, one row per ensemble; n is null if folds differ.

        Metrics are computed on the rows of all folds together; ``mean_of_folds`` is the mean of the ranking metric over
        the folds of the validation rows, and null on other splits. ``chosen_on`` says on which validation rows the
        members were chosen.
        Splits whose targets are unknown have no rows.
        """
        import pandas as pd

        frame = pd.DataFrame(self._score_rows())
        return frame.astype({"n": "Int64", "models": "Int64"})

    def used_score_table(self) -> pd.DataFrame:
        """Return the rows of `score_table` for the number of members that is used, with the ranking metric in front.

        The row whose number of members is chosen as well is one of them.
        """
        table = self.score_table()
        table = table[table["n"].isna() | table["n"].eq(self.n).fillna(False)]
        leading = ["split", "chosen_on", "n", self.rank_by]
        return table[[*leading, *(name for name in table if name not in leading)]]

    def _score_rows(self) -> Iterator[dict[str, Any]]:
        yield from self._validation_rows(OWN_FOLD, self.fold_curves)
        if self.cross_fitted is not None:
            yield from self._validation_rows(OTHER_FOLDS, self.cross_fitted.fold_curves)
            [row] = self._validation_rows(OTHER_FOLDS_AND_N, [self.cross_fitted.best_by_fold])
            yield {**row, "n": None, "models": None}
        for split, curve in self.curve_by_test_split.items():
            if curve[0].known.any():
                for n, each in enumerate(curve, start=1):
                    yield {**_score_row(split, OWN_FOLD, n, self._models_up_to(n), each), "mean_of_folds": None}

    def _models_up_to(self, n: int) -> int:
        return sum(min(n, len(members)) for members in self.ranking.values())

    def _validation_rows(self, chosen_on: str, curve: Sequence[Sequence[HeadPredictions]]) -> Iterator[dict[str, Any]]:
        sign = -1 if self.rank_by in LOWER_IS_BETTER else 1
        for n, folds in enumerate(curve, start=1):
            row = _score_row(VALIDATION_SPLIT, chosen_on, n, n, concatenate_heads(folds))
            yield {**row, "mean_of_folds": sign * mean_merit(folds, self.rank_by)}

    def member_table(self, metric: str) -> pd.DataFrame:
        """Return fold, rank, job, head, axes, accuracy and the metric that ranks, and whether the member is used."""
        import pandas as pd

        rows = [
            {
                "fold": fold.removeprefix(FOLD_PREFIX),
                "rank": rank,
                "used": rank <= self.n,
                "job": member.run.short_id,
                "head": member.head,
            }
            | {"accuracy": member.metrics["accuracy"], metric: member.metrics[metric]}
            | {name: str(value) for name, value in member.run.axes.items() if name != "fold"}
            for fold, members in self.ranking.items()
            for rank, member in enumerate(members, start=1)
        ]
        return pd.DataFrame(rows)


def _score_row(split: str, chosen_on: str, n: int | None, models: int | None, head: HeadPredictions) -> dict[str, Any]:
    found = {"split": split, "chosen_on": chosen_on, "n": n, "models": models, "samples": int(head.known.sum())}
    return {**found, **head_metrics(head)}


def make_ensembles(members: Sequence[HeadMember], choice: MemberChoice) -> TopMemberEnsembles:
    """Return the ensembles of the members that take part by the choice.

    The number of members to use is the one that is best with members chosen on other folds; if there is no such choice,
    with members chosen on their own folds. Folds without a member are left out, and a fold with fewer members than the
    number takes all it has. Raises UsageError if there is no member, or not the wanted number of them in any fold.
    """
    ranking = choice.ranking(members)
    without = [fold for fold in dict.fromkeys(member.fold for member in members) if fold not in ranking]
    left_out = [choice.no_member_message(members, fold) for fold in without]
    members = [member for member in members if member.fold in ranking]
    fold_curves, cross_fitted = fold_curves_on_validation(ranking), cross_fit(members, choice)
    splits = [split for split in members[0].rows_by_split if split != VALIDATION_SPLIT]
    curve = (fold_curves if cross_fitted is None else cross_fitted.fold_curves)[: len(fold_curves)]
    number = best_member_count(curve, choice.rank_by) if choice.n is None else choice.n
    if not 1 <= number <= most_members(ranking):
        members_text = count_noun(most_members(ranking), "member")
        raise UsageError(f"ensemble.n: {number} is not between 1 and the most that a fold has, {members_text}")
    test_curves = {split: mean_curve_over_folds(ranking, split) for split in splits}
    return TopMemberEnsembles(ranking, choice.rank_by, fold_curves, cross_fitted, test_curves, number, left_out)
