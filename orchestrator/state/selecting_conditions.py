"""Conditions that select just some jobs among others: which settings they have in common, as a command line says it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.description import SHORT_ID_LENGTH
from seedfold.results.evaluation.axes import format_value
from seedfold.results.store.finished_job import Addressed

_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.+-]+")
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
_LARGEST = 1e15
_MOST_VALUES = 12
_MOST_SHARED = 6
MOST_TOLD_APART = 20_000
"""Among more jobs it would take long to find what tells some of them apart."""
_MOST_NAMED = 12
"""How many jobs are named by their ids where no condition on settings selects them."""
_STAGE = ""
"""Stands for the stage among the names of axes."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What jobs must have: one of the values of each axis, and one of the ``stages`` and ids if there are any."""

    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    stages: Sequence[str] = ()
    jobs: Sequence[str] = ()

    @property
    def text(self) -> str:
        """The condition as people type it: ``lr=0.1,1.0 seed=3``."""
        values = [f"{name}={','.join(map(condition_value, found))}" for name, found in self.axes.items()]
        return " ".join([*values, *([f"job={','.join(self.jobs)}"] if self.jobs else [])])

    @property
    def options(self) -> list[str]:
        """The options of a command line, quoted."""
        where = [f"--where {shlex.quote(self.text)}"] if self.text else []
        return [*where, *(f"--stage {shlex.quote(stage)}" for stage in self.stages)]


class ConditionFinder:
    """Finds conditions that only some of the jobs ``among`` meet; these are read once for all questions."""

    def __init__(self, among: Sequence[Addressed]) -> None:
        self._count = len(among)
        self._places: dict[str, dict[Hashable, set[int]]] = {}
        for place, job in enumerate(among):
            self._places.setdefault(_STAGE, {}).setdefault(job.stage, set()).add(place)
            for name, value in job.axes.items():
                self._places.setdefault(name, {}).setdefault(value_key(value), set()).add(place)

    def find(self, wanted: Sequence[Addressed]) -> Condition | None:
        """Return a condition that only the ``wanted`` ones meet, on as few axes as possible.

        None if no values of axes tell them apart.
        """
        if len(wanted) in (0, self._count):
            return Condition()
        values = {name: found for name in _names(wanted) if len(found := _values(wanted, name)) <= _MOST_VALUES}
        chosen = self._choose(values, len(wanted))
        if chosen is None:
            return None
        axes = {name: list(values[name].values()) for name in values if name in chosen and name != _STAGE}
        return Condition(axes, list(values[_STAGE].values()) if _STAGE in chosen else ())

    def _choose(self, values: Mapping[str, Mapping[Hashable, Any]], count: int) -> Set[str] | None:
        """The names whose values just ``count`` jobs have: one if that is enough, else all that cannot be left out."""
        met = {name: self._met(name, found) for name, found in values.items()}
        alone = [name for name, places in met.items() if len(places) == count]
        if alone:
            return {min(alone, key=lambda name: len(values[name]))}
        chosen = {name: places for name, places in met.items() if len(places) < self._count}
        if not chosen or len(set.intersection(*chosen.values())) > count:
            return None
        for name in sorted(chosen, key=lambda name: len(values[name]), reverse=True):
            rest = [places for other, places in chosen.items() if other != name]
            if rest and len(set.intersection(*rest)) == count:
                del chosen[name]
        return chosen.keys()

    def _met(self, name: str, keys: Mapping[Hashable, Any]) -> set[int]:
        return set[int]().union(*(self._places.get(name, {}).get(key, ()) for key in keys))

    def shared_by(self, wanted: Sequence[Addressed]) -> Condition:
        """Return the values of the axes that the ``wanted`` jobs have and not all jobs do.

        An axis is left out if they have all of its values, or too many to be read. Others may have the same values.
        """
        found = {name: _values(wanted, name) for name in _names(wanted) if name != _STAGE}
        told = {
            name: list(values.values())
            for name, values in found.items()
            if len(values) < min(len(self._places.get(name, {}).keys() | values), _MOST_SHARED + 1)
        }
        return Condition(told)


def find_condition(wanted: Sequence[Addressed], among: Sequence[Addressed]) -> Condition | None:
    """Return what `ConditionFinder.find` does, for one question."""
    return ConditionFinder(among).find(wanted)


def name_jobs(wanted: Sequence[str]) -> Condition | None:
    """Return the condition on the ids of a few jobs; None for many."""
    return Condition(jobs=[job[:SHORT_ID_LENGTH] for job in wanted]) if len(wanted) <= _MOST_NAMED else None


def value_key(value: Any) -> Hashable:
    """A key that is equal for equal values: that of a plain value costs little, and large studies have many."""
    return (type(value), value) if type(value) in _PLAIN_TYPES else format_value(value)


def whole_number(value: Any) -> Any:
    """Return 1 for 1.0, and any other value as it is: the page shows numbers as JavaScript does."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST
    return int(value) if is_whole else value


def condition_value(value: Any) -> str:
    """A value as a condition takes it: quoted where it is not one plain word."""
    value = whole_number(value)
    if isinstance(value, str):
        return value if _PLAIN_VALUE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _names(wanted: Sequence[Addressed]) -> list[str]:
    """The axes that all of these jobs have, and the stage."""
    return [_STAGE, *(name for name in wanted[0].axes if all(name in job.axes for job in wanted))]


def _values(jobs: Sequence[Addressed], name: str) -> dict[Hashable, Any]:
    values = (job.stage if name == _STAGE else job.axes[name] for job in jobs)
    return {value_key(value) if name != _STAGE else value: value for value in values}
