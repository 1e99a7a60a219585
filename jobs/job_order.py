"""The order of a study: which jobs come first, as ``order: [fold, -lr, model=resnet]`` says.

The first entry counts most. An axis sorts by its values: numbers by size, others as the study lists them; with a minus,
the other way round. A condition puts the jobs first for which it holds. Where the entries say nothing, jobs stay in the
order of the matrix, and parents always come before their children. The order is how a study runs, and part of no job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.conditions import Where, find_axis
from seedfold.jobs.errors import UsageError, did_you_mean

T = TypeVar("T")
Axes = Mapping[str, Any]
_SIGNS_OF_CONDITIONS = "=!<>"


@dataclass(frozen=True)
class AxisEntry:
    """An axis whose values decide what comes first; the largest or last one, if it is ``reversed``."""

    key: str
    reversed: bool

    def ranks(self, jobs: Sequence[Axes]) -> list[int]:
        """Return the rank of each job of a stage, from the axis values of all; 0 for a job without the axis."""
        values = {canonical_json(axes[self.key]): axes[self.key] for axes in jobs if self.key in axes}
        listed = list(values)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()):
            listed.sort(key=lambda text: values[text])
        rank_of = {text: -rank if self.reversed else rank for rank, text in enumerate(listed)}
        return [rank_of[canonical_json(axes[self.key])] if self.key in axes else 0 for axes in jobs]


@dataclass(frozen=True)
class ConditionEntry:
    """A condition: jobs for which it holds come before the others."""

    where: Where

    def ranks(self, jobs: Sequence[Axes]) -> list[int]:
        """Return 0 for each job for which the condition holds, and 1 for the others."""
        return [0 if self.where.matches(axes) else 1 for axes in jobs]


@dataclass(frozen=True)
class JobOrder:
    """What comes first: the entries, the most important one first."""

    entries: tuple[AxisEntry | ConditionEntry, ...] = ()

    @classmethod
    def parse(cls, value: Any, axes: Collection[str]) -> JobOrder:
        """Read the key ``order`` of a study with these axes. Raises UsageError for what is no list of known axes."""
        if value is None:
            return cls()
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"order: {value!r} is not a list of axes and conditions; write e.g. [fold, -lr, seed=1]")
        return cls(tuple(_parse_entry(text.strip(), axes) for text in texts))

    def sort(self, jobs: Sequence[T], axes_of: Callable[[T], Axes]) -> list[T]:
        """Return the jobs of one stage in this order; ``axes_of`` gives the axis values of one."""
        axes = [axes_of(job) for job in jobs]
        columns = [entry.ranks(axes) for entry in self.entries]
        return [jobs[at] for at in sorted(range(len(jobs)), key=lambda at: [column[at] for column in columns])]


def _parse_entry(text: str, axes: Collection[str]) -> AxisEntry | ConditionEntry:
    if any(sign in text for sign in _SIGNS_OF_CONDITIONS):
        where = Where.parse(text)
        for term in where.terms:
            _require_axis(term.key, axes)
        return ConditionEntry(where)
    return AxisEntry(_require_axis(text.removeprefix("-"), axes), text.startswith("-"))


def _require_axis(name: str, axes: Collection[str]) -> str:
    found = find_axis(name, axes)
    if found is None:
        raise UsageError(f"order: {name}: no such axis{did_you_mean(name, axes)}; axes: {', '.join(axes) or 'none'}")
    return found
