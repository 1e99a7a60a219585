"""Finds the parents of a stage's points: the points of the slice with equal values on the axes that both stages have.

Parents are found by hashing, once per parent stage, and children with the same parents hold the same tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from seedfold.jobs.canonical_json import encode_plain
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.matrix import Matrix, Point, Predicate
from seedfold.jobs.predicates import compile_predicate
from seedfold.jobs.stages import StageSpec

Parents = tuple[str, ...]


@dataclass(frozen=True)
class Edge:
    """One entry of ``after``: the parent stage, the slice of it, and the axes to join on as (child, parent) numbers."""

    parent: str
    condition: Predicate
    child_axes: tuple[int, ...]
    parent_axes: tuple[int, ...]


def sort_topologically(specs: Sequence[StageSpec]) -> list[StageSpec]:
    """Return stages so that parents come before children; raises UsageError for an unknown stage and for a circle."""
    by_name = {spec.name: spec for spec in specs}
    for spec in specs:
        for parent in spec.after:
            if parent not in by_name:
                known = ", ".join(by_name)
                raise UsageError(
                    f"{spec.label}: after: no stage {parent}{did_you_mean(parent, by_name)}; stages: {known}"
                )
    try:
        order = TopologicalSorter({spec.name: list(spec.after) for spec in specs}).static_order()
        return [by_name[name] for name in order]
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise UsageError(
            f"stages: {circle}: these stages need each other in a circle; remove one entry of their after"
        ) from error


def read_edge(spec: StageSpec, child: Matrix, parent_name: str, parent: Matrix) -> Edge:
    """Return the edge from one stage to a parent stage. Axes that the slice names need not be equal."""
    slice_entry = spec.after[parent_name]
    place = f"{spec.label}: after.{parent_name}"
    condition = () if slice_entry is None else compile_predicate(place, slice_entry, parent)
    sliced_axes = {axis for axis, _ in condition}
    shared_axes = [
        (number, parent_axis)
        for number, axis in enumerate(child.axes)
        if (parent_axis := parent.axis_number(axis.key)) is not None and parent_axis not in sliced_axes
    ]
    return Edge(
        parent_name, condition, tuple(left for left, _ in shared_axes), tuple(right for _, right in shared_axes)
    )


class ParentJoin:
    """The parents of one stage's points.

    ``ids`` holds, per parent stage, its points with their ids.
    """

    def __init__(
        self,
        spec: StageSpec,
        child: Matrix,
        matrices: Mapping[str, Matrix],
        ids: Mapping[str, Sequence[tuple[Point, str]]],
        point_name: Callable[[Point], str],
    ) -> None:
        self._spec = spec
        self._point_name = point_name
        self._edges = [read_edge(spec, child, parent, matrices[parent]) for parent in spec.after]
        self._value_number_maps = [self._value_number_map(edge, child, matrices[edge.parent]) for edge in self._edges]
        self._ids_by_values = [_group_ids(edge, ids[edge.parent]) for edge in self._edges]
        self._joined_parents: dict[tuple[int, ...], tuple[Parents, str]] = {}

    @staticmethod
    def _value_number_map(edge: Edge, child: Matrix, parent: Matrix) -> list[list[int | None]]:
        """Return, per joined axis, the parent's value number for each of the child's."""
        return [
            [parent.axes[right].number_by_text.get(text) for text in child.axes[left].number_by_text]
            for left, right in zip(edge.child_axes, edge.parent_axes, strict=True)
        ]

    def parents_of(self, point: Point) -> tuple[Parents, str]:
        """Return the ids of a point's parents and their canonical text.

        Raises UsageError, which names the point, if a parent stage has no point for it.
        """
        if not self._edges:
            return (), "[]"
        lists = [self._parents_by_edge(number, point) for number in range(len(self._edges))]
        key = tuple(id(parents) for parents in lists)
        known = self._joined_parents.get(key)
        if known is None:
            union = tuple(dict.fromkeys(parent for parents in lists for parent in parents))
            known = self._joined_parents[key] = (union, encode_plain(sorted(union)))
        return known

    def _parents_by_edge(self, number: int, point: Point) -> list[str]:
        edge = self._edges[number]
        key = tuple(
            translation[point[axis]]
            for axis, translation in zip(edge.child_axes, self._value_number_maps[number], strict=True)
        )
        found = self._ids_by_values[number].get(key)
        if not found:
            raise UsageError(
                f"{self._spec.label}: {self._point_name(point)}: no parent in stage {edge.parent};"
                f" give {edge.parent} such a point, or change after.{edge.parent}"
            )
        return found


def _group_ids(edge: Edge, ids: Sequence[tuple[Point, str]]) -> dict[tuple[Any, ...], list[str]]:
    ids_by_values: dict[tuple[Any, ...], list[str]] = {}
    for point, job in ids:
        if all(point[axis] in allowed for axis, allowed in edge.condition):
            ids_by_values.setdefault(tuple(point[axis] for axis in edge.parent_axes), []).append(job)
    return ids_by_values
