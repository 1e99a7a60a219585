"""The matrix of a stage: its axes, crossed or advanced together, and the points that its predicates keep.

A point is a tuple of value numbers, one per axis; axes hold each distinct value once. So equality, joins and caches
of computed values work on small integers, and 1, 1.0 and true are three different values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
from math import prod
from typing import Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.shared_config import paths_to_texts

REPEAT_ADVICE = "give each repetition a value of its own (+repeat=range(0,5))"

Point = tuple[int, ...]
Predicate = tuple[tuple[int, frozenset[int]], ...]
"""Per axis number the values that satisfy it; all must hold."""


@dataclass(frozen=True)
class Block:
    """Axes that advance together, as a study gives them: a column of values per key, all of one length.

    A key starts with ``+`` where the axis adds it to the configuration. ``origin`` names the place for errors.
    """

    origin: str
    columns: Mapping[str, Sequence[Any]]

    def find_key(self, name: str) -> str | None:
        """Return the key of the axis ``name`` in this block, or None."""
        return next((key for key in self.columns if key.lstrip("+") == name), None)


@dataclass(frozen=True)
class Axis:
    """One axis: the key it sets, how (``+`` adds it), and its distinct values in order."""

    key: str
    prefix: str
    is_group: bool
    values: tuple[Any, ...]

    @cached_property
    def number_by_text(self) -> dict[str, int]:
        """The number of each value by its canonical text."""
        return {canonical_json(value): number for number, value in enumerate(self.values)}


@dataclass(frozen=True)
class Matrix:
    """The axes of a stage and the rows of value numbers that are crossed."""

    axes: tuple[Axis, ...]
    rows: tuple[tuple[Point, ...], ...]
    exclude: tuple[Predicate, ...] = ()
    only: tuple[Predicate, ...] = ()

    def points(self) -> Iterator[Point]:
        """Yield the points that ``exclude`` and ``only`` keep; the last axis changes fastest."""
        all_points = (tuple(chain.from_iterable(rows)) for rows in product(*self.rows))
        if not self.exclude and not self.only:
            yield from all_points
            return
        for point in all_points:
            if _matches_any(self.only, point, default=True) and not _matches_any(self.exclude, point, default=False):
                yield point

    @property
    def size(self) -> int:
        """The number of points before ``exclude`` and ``only``."""
        return prod(map(len, self.rows))

    @cached_property
    def count(self) -> int:
        """The number of points."""
        if self.exclude or self.only:
            return sum(1 for _ in self.points())
        return self.size

    def values(self, point: Point) -> dict[str, Any]:
        """Return axis values by key."""
        return {axis.key: axis.values[number] for axis, number in zip(self.axes, point, strict=True)}

    def axis_number(self, key: str) -> int | None:
        """Return the number of the axis ``key``, or None."""
        return next((number for number, axis in enumerate(self.axes) if axis.key == key), None)


def _matches_any(predicates: Sequence[Predicate], point: Point, *, default: bool) -> bool:
    if not predicates:
        return default
    return any(all(point[axis] in allowed for axis, allowed in predicate) for predicate in predicates)


def build_matrix(place: str, blocks: Sequence[Block], groups: frozenset[str]) -> Matrix:
    """Return the matrix of the stage at ``place`` without predicates; ``groups`` are the keys of config groups.

    Raises UsageError for an axis in two places and for rows that occur twice.
    """
    axes: list[Axis] = []
    rows: list[tuple[Point, ...]] = []
    for block in blocks:
        numbered = []
        for key, column in block.columns.items():
            axis, numbers = _make_axis(key, column, key.lstrip("+") in groups)
            _refuse_second_axis(place, axis.key, axes)
            axes.append(axis)
            numbered.append(numbers)
        rows.append(tuple(zip(*numbered, strict=True)))
        _refuse_duplicates(block, rows[-1])
    return Matrix(tuple(axes), tuple(rows))


def _make_axis(key: str, column: Sequence[Any], is_group: bool) -> tuple[Axis, list[int]]:
    values: list[Any] = []
    number_by_text: dict[str, int] = {}
    numbers = []
    for value in column:
        number = number_by_text.setdefault(canonical_json(paths_to_texts(value)), len(values))
        if number == len(values):
            values.append(value)
        numbers.append(number)
    name = key.lstrip("+")
    return Axis(name, key[: len(key) - len(name)], is_group, tuple(values)), numbers


def _refuse_second_axis(place: str, key: str, axes: Sequence[Axis]) -> None:
    if any(axis.key == key for axis in axes):
        raise UsageError(f"{place}: the axis {key} is given in two places; remove one of them")


def _refuse_duplicates(block: Block, rows: Sequence[Point]) -> None:
    seen: set[Point] = set()
    for number, row in enumerate(rows):
        if row in seen:
            shown = ", ".join(f"{key.lstrip('+')}={column[number]}" for key, column in block.columns.items())
            raise UsageError(f"{block.origin}: the point {shown} occurs twice; remove one of them, or {REPEAT_ADVICE}")
        seen.add(row)


def require_axis_number(place: str, key: str, matrix: Matrix) -> int:
    """Return the number of the axis ``key``; raises UsageError with the nearest name."""
    number = matrix.axis_number(key)
    if number is None:
        known = [axis.key for axis in matrix.axes]
        raise UsageError(f"{place}: no axis {key}{did_you_mean(key, known)}; axes: {', '.join(known) or 'none'}")
    return number
