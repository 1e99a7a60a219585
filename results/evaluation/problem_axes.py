"""Which axes describe the problem that jobs solve, and which the methods that a study compares.

Methods are compared within one problem: the best loss at one imbalance ratio says nothing about another ratio. And
means over problems are compared only if they are over the same problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seedfold.jobs.conditions import find_axis
from seedfold.results.evaluation.axes import last_component

PROBLEM_GROUPS = ("task", "sampling", "split")
"""Axes below these keys describe the problem, if a study does not say what it compares."""


def is_repetition(axis: str) -> bool:
    """Whether an axis only repeats a computation: folds, and axes whose name ends in ``seed``."""
    return axis.endswith("seed") or last_component(axis) == "fold"


def problem_axes(axes: Iterable[str], compare: Sequence[str] | None = None) -> list[str]:
    """Return the axes that describe the problem: those that a study does not ``compare``, without repetitions.

    Without ``compare``, those below `PROBLEM_GROUPS`. Axes in ``compare`` are named as in a condition.
    """
    candidates = [axis for axis in axes if not is_repetition(axis)]
    if compare is None:
        return [axis for axis in candidates if re.split(r"[./]", axis)[0] in PROBLEM_GROUPS]
    compared = {find_axis(name, candidates) for name in compare}
    return [axis for axis in candidates if axis not in compared]
