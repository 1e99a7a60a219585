"""The columns of a table with the output of a model: one logit, or one probability, per class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.results.imports.rows import refuse_value

_LOGIT = re.compile(r"logit_(0|[1-9][0-9]*)")
_PROBABILITY = re.compile(r"(prob|proba|probability)_(0|[1-9][0-9]*)")
_SUM_TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1: files often have three decimals or more."""
_LEAST = float(np.finfo(np.float32).tiny)
"""Replaces a probability of 0, which has no finite logarithm."""


@dataclass(frozen=True)
class ValueColumns:
    """Columns in the order of the classes; a single one stands for class 1 of two."""

    names: tuple[str, ...]
    are_probabilities: bool

    def to_logits(self, file: Path, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return logits (n, k) of the columns' values (n, k): the logarithms of probabilities.

        Raises UsageError for a row whose values are not probabilities.
        """
        if not self.are_probabilities:
            return values
        # NaN is not a probability either.
        outside = ~((values >= 0) & (values <= 1))
        if outside.any():
            row, column = (int(place) for place in np.argwhere(outside)[0])
            refuse_value(file, row, self.names[column], f"{values[row, column]:g} is not a probability")
        if len(self.names) == 1:
            return np.asarray(np.log(np.maximum(values, _LEAST)) - np.log(np.maximum(1 - values, _LEAST)))
        sums = values.sum(axis=1)
        wrong = np.abs(sums - 1) > _SUM_TOLERANCE * len(self.names)
        if wrong.any():
            row = int(np.argmax(wrong))
            refuse_value(file, row, self.names[0], f"the probabilities of all classes sum to {sums[row]:g}, not to 1")
        return np.asarray(np.log(np.maximum(values, _LEAST)))


def find_value_columns(file: Path, names: Sequence[str]) -> ValueColumns:
    """Return the columns of logits or of probabilities. Raises UsageError if one is missing or misspelt."""
    if len(names) == 1:
        refuse_value(file, None, names[0], "is the only one; commas go between the columns of a csv file")
    probabilities = [name for name in names if _PROBABILITY.fullmatch(name)]
    logits = [name for name in names if name.startswith("logit")]
    if probabilities and logits:
        refuse_value(
            file, None, probabilities[0], f"stands beside {logits[0]}; remove either the logits or the probabilities"
        )
    if probabilities:
        return ValueColumns(_in_order_of_classes(file, probabilities), are_probabilities=True)
    for name in logits:
        if not _LOGIT.fullmatch(name):
            refuse_value(file, None, name, "no such column is known; logits are logit_0, logit_1, …")
    for name in (name for name in names if not logits and name.startswith("prob")):
        refuse_value(file, None, name, "no such column is known; probabilities are prob_0, prob_1, …")
    wanted = tuple(f"logit_{number}" for number in range(max(1, len(logits))))
    for name in wanted:
        if name not in logits:
            refuse_value(file, None, name, "missing; a file has sample_id, target, and logit_N or prob_N per class")
    return ValueColumns(wanted, are_probabilities=False)


def _in_order_of_classes(file: Path, names: Sequence[str]) -> tuple[str, ...]:
    by_class: dict[int, str] = {}
    for name in names:
        number = int(name.rpartition("_")[2])
        if number in by_class:
            refuse_value(file, None, name, f"names the same class as {by_class[number]}")
        by_class[number] = name
    if list(by_class) == [1]:
        return (by_class[1],)
    stem = names[0].rpartition("_")[0]
    if list(by_class) == [0]:
        refuse_value(file, None, names[0], f"is the only one; give one per class, or only that of class 1 as {stem}_1")
    for number in range(len(names)):
        if number not in by_class:
            refuse_value(file, None, f"{stem}_{number}", "missing; a file has one probability per class, from 0")
    return tuple(by_class[number] for number in range(len(names)))
