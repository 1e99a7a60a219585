"""Which folds, or which other members, a group of runs lacks.

The plan says what a group should have. Without a plan, a group should have what any group of the same stage has. And it
should have as many folds as the configuration of the jobs says, if it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.results.evaluation.axes import (
    AnyAddressed,
    Group,
    Selection,
    address_key,
    axis_names,
    find_axes,
    format_value,
    select_runs,
    without_axes,
)
from seedfold.results.store.finished_job import Addressed, Job

Over = str | Sequence[str]
MAX_LISTED = 10
FOLD_AXIS = "fold"
"""The key that picks a fold, from 0; ``task.folds.k`` says how many there are."""
_IS_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Gap:
    """A fold that a group lacks, or ``count`` that were never planned; ``verb`` completes the sentence.

    ``samples`` is the number of rows that are lost, if another group shows it.
    """

    key: str
    group: str
    missing: str
    samples: int | None = None
    verb: str = _IS_MISSING
    count: int = 1

    def __str__(self) -> str:
        samples_text = "" if self.samples is None else f", {count_noun(self.samples, 'sample')}"
        return f"{self.group}: {self.missing} {self.verb}{samples_text}"


@dataclass(frozen=True, slots=True)
class _UnplannedFold:
    """A place that a study lacks, although its jobs are configured for that many ``folds``; no job has its ``id``."""

    stage: str
    axes: Mapping[str, Any]
    fold_count: int
    id: str = ""
    config: None = None


def find_over_axes(runs: Sequence[AnyAddressed], over: Over) -> list[str]:
    """Return the full names of the axes in ``over``, one name or several. Raises UsageError for an unknown one."""
    return find_axes(runs, [over] if isinstance(over, str) else over)


def add_zipped_axes(planned: Iterable[Addressed] | None, over: Sequence[str]) -> list[str]:
    """Return ``over`` and the axes zipped with it: those whose value, in the whole plan, follows from it.

    Only a whole plan can tell; without one, ``over`` is returned as it is.
    """
    known = with_axes(planned or (), over)
    others = [axis for axis in axis_names(known) if axis not in over]
    return [*over, *(axis for axis in others if _is_determined_by(known, over, axis))]


def _is_determined_by(jobs: Sequence[Addressed], over: Sequence[str], axis: str) -> bool:
    values: dict[tuple[str, str], set[str]] = {}
    for place in with_axes(jobs, [axis]):
        values.setdefault((place.stage, fold_text(place, over)), set()).add(format_value(place.axes[axis]))
    return all(len(found) == 1 for found in values.values()) and len(set().union(*values.values())) > 1


def with_axes(jobs: Iterable[AnyAddressed], axes: Sequence[str]) -> list[AnyAddressed]:
    """Return those whose stage has all of these axes."""
    return [job for job in jobs if all(axis in job.axes for axis in axes)]


def fold_text(job: Addressed, over: Sequence[str]) -> str:
    """Return a place's fold as text: ``fold 3``."""
    return " ".join(f"{axis} {format_value(job.axes[axis])}" for axis in over)


def find_gaps(groups: Sequence[Group], over: Sequence[str], planned: Iterable[Addressed] | None) -> list[Gap]:
    """Return the folds that groups lack, in the order of the groups; with a plan, also those of absent groups."""
    folds_present = {group.address_text: {fold_text(run, over) for run in group.runs} for group in groups}
    names = {group.address_text: group.name for group in groups}
    folds_wanted = (
        _folds_of_peers(groups, over) if planned is None else _folds_of_plan(groups, list(planned), over, names)
    )
    return [
        Gap(key, names[key], fold)
        for key, folds in folds_wanted.items()
        for fold in folds
        if fold not in folds_present.get(key, ())
    ]


def _folds_of_peers(groups: Sequence[Group], over: Sequence[str]) -> dict[str, dict[str, None]]:
    folds_of_stage: dict[str, dict[str, None]] = {}
    for group in groups:
        folds_of_stage.setdefault(group.stage, {}).update(dict.fromkeys(fold_text(run, over) for run in group.runs))
    return {group.address_text: folds_of_stage[group.stage] for group in groups}


def _folds_of_plan(
    groups: Sequence[Group], planned: Sequence[Addressed], over: Sequence[str], names: dict[str, str]
) -> dict[str, dict[str, None]]:
    # Axes that are in no plan, such as the version of the code, separate results too: each part should be whole.
    unplanned = [axis for axis in axis_names(groups) if not any(axis in job.axes for job in planned)]
    parts: dict[str, list[str]] = {}
    for group in groups:
        parts.setdefault(address_key(group.stage, without_axes(group.axes, unplanned)), []).append(group.address_text)
    wanted: dict[str, dict[str, None]] = {}
    for job in with_axes(planned, over):
        group = Group(job.stage, without_axes(job.axes, over), ())
        for key in parts.get(group.address_text, [group.address_text]):
            names.setdefault(key, group.name)
            wanted.setdefault(key, {})[fold_text(job, over)] = None
    return wanted


def _find_unplanned_gaps(planned: Sequence[Job], over: Sequence[str], where: Selection = None) -> list[Gap]:
    """Return one gap per group: the folds that have no place in the study, although ``task.folds.k`` counts them.

    ``where`` selects among them as among jobs. A group whose jobs do not say, or number folds otherwise, lacks none.
    """
    if FOLD_AXIS not in over:
        return []
    members: dict[str, list[Job]] = {}
    for job in with_axes(planned, over):
        members.setdefault(address_key(job.stage, without_axes(job.axes, over)), []).append(job)
    absent = [each for found in members.values() for each in _unplanned_folds(found, without_axes(found[0].axes, over))]
    wanted = [each for each in select_runs([*planned, *absent], where)[0] if isinstance(each, _UnplannedFold)]
    groups: dict[str, list[_UnplannedFold]] = {}
    for each in wanted:
        groups.setdefault(address_key(each.stage, without_axes(each.axes, over)), []).append(each)
    return [_unplanned_gap(key, found, over) for key, found in groups.items()]


def _unplanned_folds(jobs: Sequence[Job], shared_axes: Mapping[str, Any]) -> list[_UnplannedFold]:
    counts = {_configured_fold_count(place) for place in jobs}
    count = counts.pop()
    folds_present = [place.axes[FOLD_AXIS] for place in jobs]
    if counts or count is None or not all(type(fold) is int and 0 <= fold < count for fold in folds_present):
        return []
    folds = [fold for fold in range(count) if fold not in folds_present]
    return [_UnplannedFold(jobs[0].stage, {**shared_axes, FOLD_AXIS: fold}, count) for fold in folds]


def _configured_fold_count(job: Job) -> int | None:
    node: Any = job.config
    for key in ("task", "folds", "k"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if type(node) is int else None


def _unplanned_gap(key: str, unplanned: Sequence[_UnplannedFold], over: Sequence[str]) -> Gap:
    name = Group(unplanned[0].stage, without_axes(unplanned[0].axes, over), ()).name
    listed = ", ".join(str(each.axes[FOLD_AXIS]) for each in unplanned)
    noun, verb = ("fold", "was") if len(unplanned) == 1 else ("folds", "were")
    missing = f"{noun} {listed} of {unplanned[0].fold_count}"
    return Gap(key, name, missing, verb=f"{verb} never planned", count=len(unplanned))


def refuse_gaps(gaps: Sequence[Gap], place: str) -> None:
    """Raise UsageError that lists the gaps, if there are any."""
    if gaps:
        listed = "; ".join(str(gap) for gap in gaps[:MAX_LISTED])
        more = f"; and {len(gaps) - MAX_LISTED} more" if len(gaps) > MAX_LISTED else ""
        remedy = "wait for these jobs" if all(gap.verb == _IS_MISSING for gap in gaps) else "launch these folds as well"
        raise UsageError(f"{place}: {listed}{more}; {remedy}, or use only what is there with partial=True")
