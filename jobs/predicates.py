"""Predicates over the axes of one stage, compiled to sets of value numbers.

A predicate is a mapping ``{axis: value | [values] | "<3"}`` of conditions that must all hold, or a text such as
``"seed=1,2 fold>=3"`` (see `seedfold.jobs.conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from seedfold.jobs.conditions import Where, axis_named, same
from seedfold.jobs.errors import UsageError
from seedfold.jobs.matrix import Matrix, Predicate, require_axis

_CONDITION = re.compile(r"\s*(!=|<=|>=|=|<|>)")


def compile_predicate(place: str, given: Any, matrix: Matrix) -> Predicate:
    """Return the value numbers that satisfy ``given``, per axis; raises UsageError that names ``place``."""
    if isinstance(given, str):
        try:
            terms = Where.parse(given).terms
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        return tuple(_allowed(place, term.key, term.holds, matrix) for term in terms)
    if not isinstance(given, Mapping):
        raise UsageError(f"{place}: {given!r} is no condition; write {{AXIS: VALUE}} or 'AXIS=VALUE'")
    return tuple(_allowed(place, str(key), _condition(place, wanted), matrix) for key, wanted in given.items())


def _condition(place: str, wanted: Any) -> Callable[[Any], bool]:
    if isinstance(wanted, str) and _CONDITION.match(wanted):
        try:
            return Where.parse(f"axis{wanted}").terms[0].holds
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
    choices = wanted if isinstance(wanted, list) else [wanted]
    return lambda value: any(same(value, choice) for choice in choices)


def _allowed(place: str, key: str, holds: Callable[[Any], bool], matrix: Matrix) -> tuple[int, frozenset[int]]:
    try:
        name = axis_named(key, [axis.key for axis in matrix.axes])
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    number = require_axis(place, name or key, matrix)
    return number, frozenset(position for position, value in enumerate(matrix.axes[number].values) if holds(value))


def restrict(place: str, matrix: Matrix, exclude: Iterable[Any], only: Iterable[Any]) -> Matrix:
    """Return the matrix with the predicates of a stage; raises UsageError where they leave no point."""
    restricted = replace(
        matrix,
        exclude=tuple(compile_predicate(f"{place}: exclude", given, matrix) for given in exclude),
        only=tuple(compile_predicate(f"{place}: only", given, matrix) for given in only),
    )
    if restricted.count == 0:
        raise UsageError(f"{place}: exclude and only leave no point of the matrix; loosen them")
    return restricted
