"""Which folds, or which other members, a group of runs lacks.

What there should be is what the plan says, where one is given, else what any group of the same stage has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seedfold.jobs.errors import UsageError
from seedfold.results.axes import Group, Place, axis_names, find_axes, value_text, without
from seedfold.results.run import Addressed

Over = str | Sequence[str]
LISTED = 10


@dataclass(frozen=True, slots=True)
class Gap:
    """A fold that a group lacks; ``samples`` is how many rows that costs, where another group tells."""

    key: str
    group: str
    fold: str
    samples: int | None = None

    def __str__(self) -> str:
        lost = "" if self.samples is None else f", {self.samples} samples"
        return f"{self.group}: {self.fold} missing{lost}"


def find_over(runs: Sequence[Place], over: Over) -> list[str]:
    """Return the full names of the axes in ``over``, one name or several. Raises UsageError for an unknown one."""
    return find_axes(runs, [over] if isinstance(over, str) else over)


def with_companions(places: Iterable[Addressed] | None, over: Sequence[str]) -> list[str]:
    """Return ``over`` and the axes zipped with it: those whose value, in the whole plan, follows from it.

    Only a whole plan can tell; without one, ``over`` is returned as it is.
    """
    known = having(places or (), over)
    others = [axis for axis in axis_names(known) if axis not in over]
    return [*over, *(axis for axis in others if _follows(known, over, axis))]


def _follows(places: Sequence[Addressed], over: Sequence[str], axis: str) -> bool:
    values: dict[tuple[str, str], set[str]] = {}
    for place in having(places, [axis]):
        values.setdefault((place.stage, fold_text(place, over)), set()).add(value_text(place.axes[axis]))
    return all(len(found) == 1 for found in values.values()) and len(set().union(*values.values())) > 1


def having(places: Iterable[Place], axes: Sequence[str]) -> list[Place]:
    """Return those whose stage has all of these axes."""
    return [place for place in places if all(axis in place.axes for axis in axes)]


def fold_text(place: Addressed, over: Sequence[str]) -> str:
    """Return a place's fold as text: ``fold 3``."""
    return " ".join(f"{axis} {value_text(place.axes[axis])}" for axis in over)


def find_gaps(groups: Sequence[Group], over: Sequence[str], planned: Iterable[Addressed] | None) -> list[Gap]:
    """Return the folds that groups lack, in the order of the groups; with a plan, also those of absent groups."""
    present = {group.key: {fold_text(run, over) for run in group.runs} for group in groups}
    names = {group.key: group.name for group in groups}
    wanted = _wanted_by_peers(groups, over) if planned is None else _wanted_by_plan(list(planned), over, names)
    return [
        Gap(key, names[key], fold)
        for key, folds in wanted.items()
        for fold in folds
        if fold not in present.get(key, ())
    ]


def _wanted_by_peers(groups: Sequence[Group], over: Sequence[str]) -> dict[str, dict[str, None]]:
    of_stage: dict[str, dict[str, None]] = {}
    for group in groups:
        of_stage.setdefault(group.stage, {}).update(dict.fromkeys(fold_text(run, over) for run in group.runs))
    return {group.key: of_stage[group.stage] for group in groups}


def _wanted_by_plan(
    planned: Sequence[Addressed], over: Sequence[str], names: dict[str, str]
) -> dict[str, dict[str, None]]:
    wanted: dict[str, dict[str, None]] = {}
    for place in having(planned, over):
        shared = Group(place.stage, without(place.axes, over), ())
        key = shared.key
        names.setdefault(key, shared.name)
        wanted.setdefault(key, {})[fold_text(place, over)] = None
    return wanted


def refuse(gaps: Sequence[Gap], what: str) -> None:
    """Raise UsageError that lists the gaps, if there are any."""
    if gaps:
        listed = "; ".join(str(gap) for gap in gaps[:LISTED])
        more = f"; and {len(gaps) - LISTED} more" if len(gaps) > LISTED else ""
        raise UsageError(f"{what}: {listed}{more}; wait for these jobs, or ask for what is there with partial=True")
