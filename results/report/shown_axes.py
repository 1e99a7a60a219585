"""Which axes a table of the report shows: those that tell its rows apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from seedfold.results.evaluation.axes import format_value
from seedfold.results.store.finished_job import Addressed


@dataclass(frozen=True, slots=True)
class ShownAxes:
    """The axes ``names`` are shown. ``constant`` have one value, here as text; ``implied`` follow from a shown axis."""

    names: Sequence[str]
    constant: dict[str, str] = field(default_factory=dict)
    implied: dict[str, list[str]] = field(default_factory=dict)


def choose_axes(rows: Sequence[Addressed], axes: Iterable[str]) -> ShownAxes:
    """Leave out axes with one value in all rows of the stages that have them.

    Numbers and lists that follow from a name are left out too, such as the batch size of each network.
    """
    names = list(axes)
    texts = {name: [format_value(row.axes[name]) for row in rows if name in row.axes] for name in names}
    constant = {
        name: found[0] for name, found in texts.items() if len(set(found)) == 1 and _is_of_whole_stages(rows, name)
    }
    varying = [name for name in names if name not in constant]
    words = [name for name in varying if all(isinstance(row.axes.get(name, ""), str) for row in rows)]
    implied: dict[str, list[str]] = {}
    for name in varying:
        source = next((word for word in words if name not in words and _follows(rows, name, word)), None)
        if source is not None:
            implied.setdefault(source, []).append(name)
    left_out = {name for found in implied.values() for name in found}
    return ShownAxes([name for name in varying if name not in left_out], constant, implied)


def _is_of_whole_stages(rows: Sequence[Addressed], name: str) -> bool:
    having = {row.stage for row in rows if name in row.axes}
    return all(name in row.axes for row in rows if row.stage in having)


def _follows(rows: Sequence[Addressed], name: str, source: str) -> bool:
    """Whether each value of ``source`` has one value of ``name``, in all rows that have either."""
    values: dict[str, set[str]] = {}
    for row in rows:
        if (name in row.axes) != (source in row.axes):
            return False
        if name in row.axes:
            values.setdefault(row.axes[source], set()).add(format_value(row.axes[name]))
    return all(len(found) == 1 for found in values.values())
