"""Successive halving without waiting (ASHA), and several of it with different beginnings (Hyperband).

A trial is trained to the end of a rung and then paused. Whenever it is among the best ``1/eta`` of all trials that have
reached the rung until then, it is promoted: it goes on to the next rung from where it was. Nobody waits until a rung is
full. The source of the rule is Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020; that of
the brackets Li et al., "Hyperband", JMLR 18 (2018), with the shares that Optuna gives them.

Optuna's ``SuccessiveHalvingPruner`` has to decide at the end of a rung, for good, because its trials cannot be paused:
a trial that it stops never goes on, and among fewer than ``eta`` trials the best one goes on. Here such a trial waits.
Only where no other trial can come to a rung any more, the best one goes on even if there are fewer than ``eta``, so
that a small search also trains one trial to its end.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from math import ceil

from seedfold.orchestrator.search.history import Trial
from seedfold.orchestrator.settings.search import Halving, SearchSettings


def rung_epochs(halving: Halving, bracket: int = 0) -> tuple[int, ...]:
    """Return after how many epochs each rung of a bracket ends, the last one with ``max``."""
    ends, epochs = [], halving.min * halving.eta**bracket
    while epochs < halving.max:
        ends.append(epochs)
        epochs *= halving.eta
    return (*ends, halving.max)


def bracket_of(settings: SearchSettings, number: int) -> int:
    """Return the bracket of a trial: bracket b begins with a training ``eta**b`` times as long."""
    halving = settings.halving
    if halving is None or halving.brackets == 1:
        return 0
    shares = [_share(halving, bracket) for bracket in range(halving.brackets)]
    left = binascii.crc32(f"{settings.seed}_{number}".encode()) % sum(shares)
    for bracket, share in enumerate(shares):
        left -= share
        if left < 0:
            return bracket
    raise AssertionError("the shares add up to more than the rest of a division by their sum")


def _share(halving: Halving, bracket: int) -> int:
    """The share of a bracket, so that each has about the same budget (Optuna: ``HyperbandPruner``)."""
    remaining = halving.brackets - 1 - bracket
    return ceil(halving.brackets * int(halving.eta**remaining) / (remaining + 1))


class Bracket:
    """The rungs of one bracket, and which of its trials stand on them."""

    def __init__(self, settings: SearchSettings, history: Sequence[Trial], bracket: int) -> None:
        if settings.halving is None:
            raise ValueError("a search without halving has no brackets")
        self._settings, self._eta = settings, settings.halving.eta
        self.epochs = rung_epochs(settings.halving, bracket)
        asked = [trial for trial in history if trial.number >= 0]
        self.trials = [trial for trial in asked if bracket_of(settings, trial.number) == bracket]
        self._standings = [self._standing(rung) for rung in range(len(self.epochs))]
        coming = range(len(asked), settings.trials)
        self._most = self._find_most(sum(bracket_of(settings, number) == bracket for number in coming))

    def standing(self, rung: int) -> list[Trial]:
        """The trials that have reached the end of a rung, the best first. Of equal ones the earlier is better."""
        return self._standings[rung]

    def promotable(self) -> Iterator[Trial]:
        """The paused trials that go on, those on the highest rung first, and of a rung the best first."""
        for rung in reversed(range(len(self.epochs) - 1)):
            standing = self._standings[rung]
            best = standing[: self._places(len(standing), self._most[rung])]
            yield from (trial for trial in best if _waits(trial, rung))

    def hopeless(self) -> Iterator[Trial]:
        """The paused trials that no result which may still come can promote, and those whose value is not a number."""
        for rung in range(len(self.epochs) - 1):
            most = self._most[rung]
            rest = self._standings[rung][self._places(most, most) :]
            yield from (trial for trial in rest if _waits(trial, rung))
        yield from (trial for trial in self.trials if trial.state == "paused" and trial.is_broken)

    def _standing(self, rung: int) -> list[Trial]:
        keyed = [(key, trial.number, trial) for trial in self.trials if (key := self._key(trial, rung)) is not None]
        return [trial for _, _, trial in sorted(keyed, key=lambda one: one[:2])]

    def _find_most(self, coming: int) -> list[int]:
        """How many trials can reach the end of each rung in the end, at most, if ``coming`` ones are not started yet.

        One that comes to a rung may be promoted at once, and may later turn out not to be among the best.
        """
        most: list[int] = []
        for rung, standing in enumerate(self._standings):
            coming += sum(trial.rung == rung and self._may_still_come(trial) for trial in self.trials)
            most.append(len(standing) + coming)
            best = standing[: self._places(most[rung], most[rung])]
            coming += sum(_waits(trial, rung) for trial in best)
        return most

    def _may_still_come(self, trial: Trial) -> bool:
        return trial.state == "running" or trial.may_be_retried(self._settings)

    def _places(self, count: int, most: int) -> int:
        """How many of ``count`` trials go on; ``most`` says how many there can be in the end."""
        return max(count // self._eta, 1 if count == most else 0)

    def _key(self, trial: Trial, rung: int) -> float | None:
        """What trials on a rung are sorted by, the smallest first; None for one that has not reached its end."""
        if trial.is_broken:
            reached = trial.rung >= rung and trial.state != "running"
            return float("inf") if reached and self._settings.failed == "worst" else None
        value = trial.values.get(self.epochs[rung])
        if value is None and trial.state == "done" and trial.rung >= rung:
            value = trial.value
        if value is None:
            return None
        return -value[0] if self._settings.directions[0] == "maximize" else value[0]


def _waits(trial: Trial, rung: int) -> bool:
    return trial.state == "paused" and trial.rung == rung and not trial.is_broken


def brackets(settings: SearchSettings, history: Sequence[Trial]) -> list[Bracket]:
    """Return all brackets of a search with halving."""
    count = settings.halving.brackets if settings.halving else 0
    return [Bracket(settings, history, number) for number in range(count)]
