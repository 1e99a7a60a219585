"""Which values a mean should have by the plan of its study, and why some are missing.

A value is missing if a job has no result, or if its result lacks the metric or has it as NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from seedfold.results.evaluation.axes import address_key, axis_names, format_value, short_names, without_axes
from seedfold.results.store.finished_job import Addressed, FinishedJob, Job
from seedfold.results.store.published import MetricRecord

LISTED = 5
"""How many missing values are named one by one."""
NOT_FINISHED = "not finished"
Reasons = Mapping[str, str]
"""Why jobs have no result, by their ids: ``failed (nan)``, ``not finished (running)``."""


@dataclass(frozen=True, slots=True)
class MissingValue:
    """One or more values that a job should have brought, and why it did not; no ``place`` means every job."""

    place: Addressed | None
    reason: str


def is_defined(value: float | None) -> bool:
    """Whether a metric has a value that can be averaged; infinity is one, and shows in the mean."""
    return value is not None and not isnan(value)


def count_by_group(places: Iterable[Addressed], over: Sequence[str]) -> Counter[str]:
    """Count places by the key of their group, as `group_runs` makes groups."""
    return Counter(address_key(place.stage, without_axes(place.axes, over)) for place in places)


def find_missing_jobs(runs: Sequence[FinishedJob], planned: Sequence[Job], reasons: Reasons) -> list[MissingValue]:
    """Return the planned places that have no run, those that failed first."""
    present = {address_key(run.stage, run.axes) for run in runs}
    absent = [job for job in planned if address_key(job.stage, job.axes) not in present]
    missing = [MissingValue(job, reasons.get(job.id, NOT_FINISHED)) for job in absent]
    return sorted(missing, key=lambda value: value.reason.startswith(NOT_FINISHED))


def find_undefined(runs: Sequence[FinishedJob], metrics: Sequence[Iterable[MetricRecord]]) -> list[MissingValue]:
    """Return the runs of which a metric is not a number or undefined; ``metrics`` are those of each run, in order.

    A metric that no run defines is named once.
    """
    rows = [list(each) for each in metrics]
    splits = {record["split"] for row in rows for record in row}
    defined = {_metric_name(record, splits) for row in rows for record in row if is_defined(record["value"])}
    found, everywhere = [], dict[str, None]()
    for run, row in zip(runs, rows, strict=True):
        by_reason: dict[str, dict[str, None]] = {}
        for record in row:
            name = _metric_name(record, splits)
            if is_defined(record["value"]):
                continue
            if name in defined or record["value"] is not None:
                by_reason.setdefault("undefined" if record["value"] is None else "nan", {})[name] = None
            else:
                everywhere[name] = None
        found += [MissingValue(run, _are(list(told), reason)) for reason, told in by_reason.items()]
    if everywhere:
        found.append(MissingValue(None, _are(list(everywhere), "undefined")))
    return found


def _metric_name(record: MetricRecord, splits: set[str]) -> str:
    return record["metric"] if len(splits) == 1 else f"{record['split']} {record['metric']}"


def _are(names: Sequence[str], reason: str) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more metrics are {reason}"
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {reason}"


class PlaceNames:
    """Names for the places of a study: the axes in which they differ, and the stage where there are several."""

    def __init__(self, places: Sequence[Addressed]) -> None:
        values: dict[str, set[str]] = {}
        for place in places:
            for axis, value in place.axes.items():
                values.setdefault(axis, set()).add(format_value(value))
        self._differing = [axis for axis, found in values.items() if len(found) > 1]
        self._short_names = short_names(axis_names(places))
        self._with_stage = len({place.stage for place in places}) > 1

    def of(self, place: Addressed) -> str:
        """Return one place's name: ``seed=2 fold=1``."""
        return " ".join(self._parts(place)) or place.stage

    def shared(self, places: Sequence[Addressed]) -> str:
        """Return what the names of places have in common: ``seed=2``; empty if it is nothing."""
        first, *others = (self._parts(place) for place in places)
        return " ".join(part for part in first if all(part in parts for parts in others))

    def _parts(self, place: Addressed) -> list[str]:
        axes = [axis for axis in self._differing if axis in place.axes]
        stage = [place.stage] if self._with_stage else []
        return [*stage, *(f"{self._short_names[axis]}={format_value(place.axes[axis])}" for axis in axes)]


def missing_lines(missing: Sequence[MissingValue], names: PlaceNames, listed: int = LISTED) -> list[str]:
    """Return lines that name the first missing values, and say how many more jobs there are of each kind.

    Jobs that lack the same for the same reason, and have something in common, share a line.
    """
    by_reason: dict[str, list[Addressed]] = {}
    lines = [(f"every job: {value.reason}", 1, value.reason) for value in missing if value.place is None]
    for value in missing:
        if value.place is not None:
            by_reason.setdefault(value.reason, []).append(value.place)
    for reason, places in by_reason.items():
        shared = names.shared(places) if len(places) > 1 else ""
        if shared:
            lines.append((f"{shared} ({len(places)} jobs): {reason}", len(places), reason))
        else:
            lines += [(f"{names.of(place)}: {reason}", 1, reason) for place in places]
    kinds: Counter[str] = Counter()
    for _, count, reason in lines[listed:]:
        kinds[_kind(reason)] += count
    more = f"and {kinds.total()} more ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})"
    return [*(line for line, _, _ in lines[:listed]), *([more] if kinds else [])]


def _kind(reason: str) -> str:
    """What is common to reasons: ``failed`` of ``failed (nan)``, ``nan`` of ``val loss is nan``."""
    told = reason.partition(" (")[0]
    return told.rpartition(" ")[2] if " is " in told or " are " in told else told
