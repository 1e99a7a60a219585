"""Which jobs are compared: two values of an axis, and the pairs of jobs that differ only in this axis.

A pair has the same seed, fold and other axes. Pairs that differ in seeds and folds alone are replicates of one
comparison. Every other axis, such as the task or an imbalance ratio, makes a comparison of its own, so that like is
compared with like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from seedfold.jobs.conditions import ID_KEYS, Where, find_axis
from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.axes import (
    Selection,
    address_key,
    axis_names,
    find_axes,
    format_axes,
    format_value,
    last_component,
    parse_where,
    without_axes,
)
from seedfold.results.evaluation.folds import FOLD_AXIS, add_zipped_axes, with_axes
from seedfold.results.store.finished_job import Addressed, FinishedJob
from seedfold.results.tables.result_tables import averaged_axes


@dataclass(frozen=True, slots=True)
class Pair:
    """Two jobs that differ in the compared axis alone; ``axes`` are the seed and fold that both have."""

    first: FinishedJob
    second: FinishedJob
    axes: Mapping[str, Any]

    @property
    def runs(self) -> tuple[FinishedJob, FinishedJob]:
        """Both jobs."""
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Comparison:
    """The pairs of two values ``a`` and ``b`` of the axis ``over``, within one stage and the same other ``axes``.

    ``replicates`` are the axes in which pairs differ; ``fold_axes`` are those replicates that say which of the
    ``folds`` folds a pair has. ``expected`` counts the pairs that there would be if both values had each seed and fold
    that is planned for one of them; ``unpaired`` names the missing pairs.
    """

    stage: str
    over: str
    a: Any
    b: Any
    axes: Mapping[str, Any]
    replicates: tuple[str, ...]
    fold_axes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    expected: int
    unpaired: tuple[str, ...]
    folds: int | None

    @property
    def fold(self) -> str | None:
        """Return the axis of folds, if pairs have several folds."""
        several = any(len({format_value(pair.axes[name]) for pair in self.pairs}) > 1 for name in self.fold_axes)
        return self.fold_axes[0] if several else None

    @property
    def name(self) -> str:
        """Return what is compared, as text: ``none → ratio``."""
        return f"{format_value(self.a)} → {format_value(self.b)}"


def find_comparisons(
    runs: Sequence[FinishedJob], over: str, planned: Iterable[Addressed] | None = None
) -> list[Comparison]:
    """Return the comparisons of each two values of the axis ``over``, in the order in which values first appear.

    ``planned`` are the places that the study has, done or not: they tell which pairs are missing, and which axes
    change together with others. Raises UsageError for an unknown axis, and if no jobs can be paired.
    """
    [axis] = find_axes(runs, [over])
    places: list[Addressed] = list(runs if planned is None else planned)
    averaged = averaged_axes(runs)
    compared = [axis, *(name for name in add_zipped_axes(places, [axis]) if name not in (axis, *averaged))]
    folds = [name for name in _axes_of_folds(places, averaged) if name not in compared]
    axes = _Axes(axis, compared, tuple(dict.fromkeys([*averaged, *folds])), tuple(folds))
    blocks: dict[str, _Block] = {}
    for place in with_axes(places, [axis]):
        _block(blocks, place, axes).planned.append(place)
    for run in with_axes(runs, [axis]):
        _block(blocks, run, axes).runs.append(run)
    found = [each for block in blocks.values() for each in block.comparisons()]
    if not any(each.pairs for each in found):
        raise UsageError(_nothing_text(runs, axis))
    return found


def select_places(places: Sequence[Addressed], where: Selection) -> list[Addressed] | None:
    """Return the places that meet conditions on axes and stage; None if there are conditions on ids of jobs."""
    terms = parse_where(where).terms
    if any(term.key in ID_KEYS for term in terms):
        return None
    known = axis_names(places)
    on_axes = Where(tuple(term for term in terms if find_axis(term.key, known) is not None))
    on_stage = [term for term in terms if term.key == "stage"]
    return [
        place for place in places if on_axes.matches(place.axes) and all(term.holds(place.stage) for term in on_stage)
    ]


def _axes_of_folds(places: Sequence[Addressed], averaged: Sequence[str]) -> list[str]:
    """Return the axis `fold`, and axes that change together with it, such as a file that divides the samples."""
    folds = [name for name in averaged if last_component(name) == FOLD_AXIS]
    return add_zipped_axes(places, folds) if folds else []


def _nothing_text(runs: Sequence[FinishedJob], axis: str) -> str:
    values = list(dict.fromkeys(format_value(run.axes[axis]) for run in with_axes(runs, [axis])))
    if len(values) == 1:
        return f"{axis}: the jobs that are done have only one value, {values[0]}, so there is nothing to compare"
    others = ", ".join(name for name in axis_names(runs) if name != axis) or "no other axis"
    return f"{axis}: no two jobs that are done differ only in this axis; they also differ in {others}"


@dataclass(frozen=True, slots=True)
class _Axes:
    """The axis ``over``, axes that change together with it, replicates, and the replicates that tell the fold."""

    over: str
    compared: Sequence[str]
    replicates: tuple[str, ...]
    folds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """All jobs of a stage with the same ``shared`` axes: all axes except the compared ones and the replicates."""

    stage: str
    axes: _Axes
    shared: Mapping[str, Any]
    planned: list[Addressed]
    runs: list[FinishedJob]

    def comparisons(self) -> Iterator[Comparison]:
        over = self.axes.over
        values = {format_value(place.axes[over]): place.axes[over] for place in [*self.planned, *self.runs]}
        for (key_a, a), (key_b, b) in combinations(values.items(), 2):
            yield self._comparison(key_a, a, key_b, b)

    def _comparison(self, key_a: str, a: Any, key_b: str, b: Any) -> Comparison:
        first, second = self._by_replicate(self.runs, key_a), self._by_replicate(self.runs, key_b)
        every = {place: None for key in (key_a, key_b) for place in self._by_replicate(self.planned, key)}
        every |= dict.fromkeys([*first, *second])
        pairs = [
            Pair(first[at], second[at], self._replicate(first[at])) for at in every if at in first and at in second
        ]
        unpaired = [
            f"{at or self.stage}: {' and '.join(missing)} not done"
            for at in every
            if (missing := [key for key, found in ((key_a, first), (key_b, second)) if at not in found])
        ]
        return Comparison(
            self.stage,
            self.axes.over,
            a,
            b,
            self.shared,
            self.axes.replicates,
            self.axes.folds,
            tuple(pairs),
            expected=len(every),
            unpaired=tuple(unpaired),
            folds=self._folds(),
        )

    def _by_replicate(self, places: Sequence[Any], key: str) -> dict[str, Any]:
        return {
            format_axes(self._replicate(place)): place
            for place in places
            if format_value(place.axes[self.axes.over]) == key
        }

    def _replicate(self, place: Addressed) -> dict[str, Any]:
        return {name: place.axes[name] for name in self.axes.replicates if name in place.axes}

    def _folds(self) -> int | None:
        """Return into how many folds samples are divided: as the jobs are configured, else as many as there are."""
        if not self.axes.folds:
            return None
        axis = self.axes.folds[0]
        configured = {count for run in self.runs if (count := configured_folds(run)) is not None}
        there = {format_value(place.axes[axis]) for place in [*self.planned, *self.runs] if axis in place.axes}
        return configured.pop() if len(configured) == 1 else len(there)


def configured_folds(run: FinishedJob) -> int | None:
    """Return ``task.folds.k`` of a run's configuration, None if it has none."""
    node: Any = run.config
    for key in ("task", "folds", "k"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if type(node) is int else None


def _block(blocks: dict[str, _Block], place: Addressed, axes: _Axes) -> _Block:
    shared = without_axes(place.axes, [*axes.compared, *axes.replicates])
    key = address_key(place.stage, shared)
    if key not in blocks:
        blocks[key] = _Block(place.stage, axes, shared, [], [])
    return blocks[key]
