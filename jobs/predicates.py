"""Predicates over the axes of one stage, compiled to sets of value numbers.

A predicate is a mapping ``{axis: value | [values] | "<3"}`` of conditions that must all hold, or a text such as
``"seed=1,2 fold>=3"`` (see `seedfold.jobs.conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from seedfold.jobs.conditions import Term, Where, are_equal, find_axis
from seedfold.jobs.errors import UsageError
from seedfold.jobs.matrix import Matrix, Predicate, require_axis_number

_CONDITION = re.compile(r"\s*(!=|<=|>=|=|<|>)")


def compile_predicate(place: str, predicate: Any, matrix: Matrix) -> Predicate:
    """Return the value numbers that satisfy ``predicate``, per axis; raises UsageError, which names ``place``."""
    if isinstance(predicate, str):
        try:
            terms = Where.parse(predicate).terms
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        return tuple(_allowed_numbers(place, term.key, term.holds, matrix) for term in terms)
    if not isinstance(predicate, Mapping):
        raise UsageError(f"{place}: {predicate!r} is not a condition; write {{AXIS: VALUE}} or 'AXIS=VALUE'")
    return tuple(
        _allowed_numbers(place, str(key), _make_test(place, wanted), matrix) for key, wanted in predicate.items()
    )


def predicate_terms(place: str, predicate: Any) -> Where:
    """Return ``predicate`` as conditions on any values, not only on those of a matrix.

    Raises UsageError, which names ``place``, for what is neither a mapping nor a text of conditions.
    """
    try:
        if isinstance(predicate, str):
            return Where.parse(predicate)
        if isinstance(predicate, Mapping):
            return Where(tuple(_make_term(str(key), wanted) for key, wanted in predicate.items()))
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    raise UsageError(f"{place}: {predicate!r} is not a condition; write {{AXIS: VALUE}} or 'AXIS=VALUE'")


def _make_term(key: str, entry: Any) -> Term:
    if isinstance(entry, str) and _CONDITION.match(entry):
        return replace(Where.parse(f"axis{entry}").terms[0], key=key)
    choices = entry if isinstance(entry, list) else [entry]
    return Term(key, "=", tuple(choices), tuple(map(str, choices)))


def _make_test(place: str, entry: Any) -> Callable[[Any], bool]:
    if isinstance(entry, str) and _CONDITION.match(entry):
        try:
            return Where.parse(f"axis{entry}").terms[0].holds
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
    choices = entry if isinstance(entry, list) else [entry]
    return lambda value: any(are_equal(value, choice) for choice in choices)


def _allowed_numbers(place: str, key: str, holds: Callable[[Any], bool], matrix: Matrix) -> tuple[int, frozenset[int]]:
    try:
        name = find_axis(key, [axis.key for axis in matrix.axes])
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    number = require_axis_number(place, name or key, matrix)
    return number, frozenset(position for position, value in enumerate(matrix.axes[number].values) if holds(value))


def with_predicates(place: str, matrix: Matrix, exclude: Iterable[Any], only: Iterable[Any]) -> Matrix:
    """Return the matrix with the predicates of a stage; raises UsageError if they leave no point."""
    restricted = replace(
        matrix,
        exclude=tuple(compile_predicate(f"{place}: exclude", entry, matrix) for entry in exclude),
        only=tuple(compile_predicate(f"{place}: only", given, matrix) for given in only),
    )
    if restricted.count == 0:
        raise UsageError(f"{place}: exclude and only remove every point of the matrix; make them less strict")
    return restricted
