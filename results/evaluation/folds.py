"""Which folds, or which other members, a group of runs lacks.

What there should be is what the plan says, where one is given, else what any group of the same stage has; and as many
folds as the configuration of the jobs cuts the samples into, where it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.errors import UsageError, counted
from seedfold.results.evaluation.axes import (
    Group,
    Place,
    Selection,
    axis_names,
    find_axes,
    key_of,
    select,
    value_text,
    without,
)
from seedfold.results.store.finished_job import Addressed, Job

Over = str | Sequence[str]
LISTED = 10
FOLD = "fold"
"""The key that picks a fold, from 0; ``task.folds.k`` says how many there are."""
_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Gap:
    """A fold that a group lacks, or several that were never planned; ``how`` completes the sentence.

    ``samples`` is how many rows that costs, where another group tells.
    """

    key: str
    group: str
    fold: str
    samples: int | None = None
    how: str = _MISSING

    def __str__(self) -> str:
        lost = "" if self.samples is None else f", {counted(self.samples, 'sample')}"
        return f"{self.group}: {self.fold} {self.how}{lost}"


@dataclass(frozen=True, slots=True)
class _Absent:
    """A place that a study lacks, although its jobs are configured for that many ``folds``; its ``id`` is no job's."""

    stage: str
    axes: Mapping[str, Any]
    folds: int
    id: str = ""
    config: None = None


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
    wanted = _wanted_by_peers(groups, over) if planned is None else _wanted_by_plan(groups, list(planned), over, names)
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
    groups: Sequence[Group], planned: Sequence[Addressed], over: Sequence[str], names: dict[str, str]
) -> dict[str, dict[str, None]]:
    # What no plan knows tells results apart as well, such as the code that computed them: each part should be whole.
    unplanned = [axis for axis in axis_names(groups) if not any(axis in place.axes for place in planned)]
    parts: dict[str, list[str]] = {}
    for group in groups:
        parts.setdefault(key_of(group.stage, without(group.axes, unplanned)), []).append(group.key)
    wanted: dict[str, dict[str, None]] = {}
    for place in having(planned, over):
        shared = Group(place.stage, without(place.axes, over), ())
        for key in parts.get(shared.key, [shared.key]):
            names.setdefault(key, shared.name)
            wanted.setdefault(key, {})[fold_text(place, over)] = None
    return wanted


def find_unplanned(places: Sequence[Job], over: Sequence[str], where: Selection = None) -> list[Gap]:
    """Return, a group a gap, the folds for which there is no place, although ``task.folds.k`` of its jobs counts them.

    ``where`` selects among them as among jobs. A group whose jobs do not say, or number folds otherwise, lacks none.
    """
    if FOLD not in over:
        return []
    members: dict[str, list[Job]] = {}
    for place in having(places, over):
        members.setdefault(key_of(place.stage, without(place.axes, over)), []).append(place)
    absent = [each for found in members.values() for each in _absent(found, without(found[0].axes, over))]
    wanted = [each for each in select([*places, *absent], where)[0] if isinstance(each, _Absent)]
    groups: dict[str, list[_Absent]] = {}
    for each in wanted:
        groups.setdefault(key_of(each.stage, without(each.axes, over)), []).append(each)
    return [_never_planned(key, found, over) for key, found in groups.items()]


def _absent(group: Sequence[Job], shared: Mapping[str, Any]) -> list[_Absent]:
    counts = {_count_of_folds(place) for place in group}
    count = counts.pop()
    present = [place.axes[FOLD] for place in group]
    if counts or count is None or not all(type(fold) is int and 0 <= fold < count for fold in present):
        return []
    folds = [fold for fold in range(count) if fold not in present]
    return [_Absent(group[0].stage, {**shared, FOLD: fold}, count) for fold in folds]


def _count_of_folds(place: Job) -> int | None:
    node: Any = place.config
    for key in ("task", "folds", "k"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if type(node) is int else None


def _never_planned(key: str, absent: Sequence[_Absent], over: Sequence[str]) -> Gap:
    name = Group(absent[0].stage, without(absent[0].axes, over), ()).name
    listed = ", ".join(str(each.axes[FOLD]) for each in absent)
    noun, verb = ("fold", "was") if len(absent) == 1 else ("folds", "were")
    return Gap(key, name, f"{noun} {listed} of {absent[0].folds}", how=f"{verb} never planned")


def refuse(gaps: Sequence[Gap], what: str) -> None:
    """Raise UsageError that lists the gaps, if there are any."""
    if gaps:
        listed = "; ".join(str(gap) for gap in gaps[:LISTED])
        more = f"; and {len(gaps) - LISTED} more" if len(gaps) > LISTED else ""
        remedy = "wait for these jobs" if all(gap.how == _MISSING for gap in gaps) else "launch these folds as well"
        raise UsageError(f"{what}: {listed}{more}; {remedy}, or ask for what is there with partial=True")
