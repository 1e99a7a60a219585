"""Notes below a table about means whose values count unequally, although no value is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from seedfold.jobs.canonical_json import canonical_json
from seedfold.results.evaluation.axes import Selection, address_key, format_value, last_component, without_axes
from seedfold.results.evaluation.folds import FOLD_AXIS, _find_unplanned_gaps
from seedfold.results.evaluation.missing_values import PlaceNames
from seedfold.results.evaluation.problem_axes import is_repetition
from seedfold.results.store.finished_job import Addressed, FinishedJob, Job

_CONTENT = "imported"
"""The key of the configuration under which an import has the digests of its predictions."""


def uneven_notes(
    runs: Sequence[FinishedJob], planned: Sequence[Job], averaged: Sequence[str], where: Selection = None
) -> list[str]:
    """Say which repetitions count more often than others, which folds are unplanned, and which imports are equal."""
    notes = [*_uneven_repetitions(planned or runs, averaged), *_repeated_imports(runs)]
    if FOLD_AXIS in averaged:
        notes += _once(f"{gap.missing} {gap.verb}" for gap in _find_unplanned_gaps(planned, [FOLD_AXIS], where))
    return notes


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _uneven_repetitions(places: Sequence[Addressed], averaged: Sequence[str]) -> Iterator[str]:
    groups: dict[str, list[Addressed]] = {}
    for place in places:
        groups.setdefault(address_key(place.stage, without_axes(place.axes, averaged)), []).append(place)
    for axis in filter(is_repetition, averaged):
        uneven = [found for group in groups.values() if (found := _counts(group, axis)) is not None]
        if uneven:
            (many, most), (few, least) = uneven[0].most_common()[0], uneven[0].most_common()[-1]
            name = last_component(axis)
            more = f", and others in {len(uneven) - 1} more rows" if len(uneven) > 1 else ""
            yield f"{name}={many} counts {_times(most)}, {name}={few} {_times(least)}{more}"


def _counts(group: Sequence[Addressed], axis: str) -> Counter[str] | None:
    """Count the places of each value of an axis; None where all values have the same number."""
    counts = Counter(format_value(place.axes[axis]) for place in group if axis in place.axes)
    return counts if len(set(counts.values())) > 1 else None


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _repeated_imports(runs: Sequence[FinishedJob]) -> Iterator[str]:
    by_content: dict[str, list[FinishedJob]] = {}
    for run in runs:
        if run.config is not None and _CONTENT in run.config:
            by_content.setdefault(canonical_json(run.config[_CONTENT]), []).append(run)
    names = PlaceNames(runs)
    for first, *others in by_content.values():
        if others:
            places = ", ".join(names.of(run) for run in others)
            yield f"{names.of(first)} and {places}: the same predictions, imported {_times(len(others) + 1)}"
