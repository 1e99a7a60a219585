"""Conditions that select just some jobs among others: which settings they have in common, as a command line says it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.description import SHORT_ID_LENGTH
from seedfold.orchestrator.state.overview import JobView
from seedfold.results.evaluation.axes import format_value

_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.+-]+")
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
_LARGEST = 1e15
_MOST_VALUES = 12
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


def find_condition(wanted: Sequence[JobView], among: Sequence[JobView]) -> Condition | None:
    """Return a condition that of the jobs ``among`` only the ``wanted`` ones meet, on as few axes as possible.

    None if no values of axes tell them apart.
    """
    # What is found out about a job stays with its view, and there are many questions.
    wanted, ids = list(wanted), {view.id for view in wanted}
    others = [view for view in among if view.id not in ids]
    if not wanted or not others:
        return Condition()
    values = {name: found for name in _names(wanted) if len(found := _values(wanted, name)) <= _MOST_VALUES}
    excluded = {name: _excluded(others, name, found) for name, found in values.items()}
    chosen = _choose(excluded, len(others), {name: len(found) for name, found in values.items()})
    if chosen is None:
        return None
    axes = {name: list(values[name].values()) for name in values if name in chosen and name != _STAGE}
    return Condition(axes, [str(stage) for stage in values[_STAGE].values()] if _STAGE in chosen else ())


def name_jobs(wanted: Sequence[JobView]) -> Condition | None:
    """Return the condition on the ids of a few jobs; None for many."""
    return Condition(jobs=[view.id[:SHORT_ID_LENGTH] for view in wanted]) if len(wanted) <= _MOST_NAMED else None


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


def _names(wanted: Sequence[JobView]) -> list[str]:
    """The axes that all of these jobs have, and the stage."""
    return [_STAGE, *(name for name in wanted[0].axes if all(name in view.axes for view in wanted))]


def _values(views: Sequence[JobView], name: str) -> dict[Hashable, Any]:
    return {value_key(value): value for value in (_value(view, name) for view in views)}


def _value(view: JobView, name: str) -> Any:
    return view.stage if name == _STAGE else view.axes.get(name)


def _excluded(others: Sequence[JobView], name: str, values: Mapping[Hashable, Any]) -> frozenset[int]:
    """The places of those jobs that do not have one of the values."""
    return frozenset(
        place
        for place, view in enumerate(others)
        if (name != _STAGE and name not in view.axes) or value_key(_value(view, name)) not in values
    )


def _choose(
    excluded: Mapping[str, frozenset[int]], count: int, value_counts: Mapping[str, int]
) -> frozenset[str] | None:
    """The names that together exclude all others; one if that is enough, else all that cannot be left out."""
    alone = [name for name, places in excluded.items() if len(places) == count]
    if alone:
        return frozenset([min(alone, key=value_counts.__getitem__)])
    chosen = {name: places for name, places in excluded.items() if places}
    if len(frozenset().union(*chosen.values())) < count:
        return None
    for name in sorted(chosen, key=value_counts.__getitem__, reverse=True):
        rest = [places for other, places in chosen.items() if other != name]
        if len(frozenset().union(*rest)) == count:
            del chosen[name]
    return frozenset(chosen)
