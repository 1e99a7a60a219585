"""The jobs of a study with their states, of which those that are done and alike are told once, with their number.

A study of a hundred thousand done jobs is counted without a value for each of them. Whoever needs each job takes the
views one after the other, as from a list: each is made when it is asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.state.job_states import JobState

_READ_AT_ONCE = 1000


class JobView:
    """One job and its state; ``changes`` say why the result of a done job is stale."""

    __slots__ = ("_job", "_job_state", "changes")

    def __init__(self, job: JobDescription, job_state: JobState, changes: tuple[str, ...] = ()) -> None:
        self._job, self._job_state, self.changes = job, job_state, changes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobView):
            return NotImplemented
        return (self.job, self.job_state, self.changes) == (other.job, other.job_state, other.changes)

    @property
    def job(self) -> JobDescription:
        """The job's description."""
        return self._job

    @property
    def job_state(self) -> JobState:
        """The job's state, with the event that decides it."""
        return self._job_state

    @property
    def stale(self) -> str | None:
        """The first of the changes."""
        return self.changes[0] if self.changes else None

    # What follows is known of every job without its description and its event (see `LateView`).

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def stage(self) -> str:
        """The job's stage."""
        return self.job.stage

    @property
    def axes(self) -> Mapping[str, Any]:
        """The job's axis values."""
        return self.job.axes

    @property
    def state(self) -> str:
        """The job's state."""
        return self.job_state.state

    @property
    def reason(self) -> str:
        """Why the job is in its state, or why its result is stale; empty if there is nothing to say."""
        return self.job_state.reason or self.stale or ""

    @property
    def attempt(self) -> int:
        """The latest attempt, or that whose result counts."""
        return self.job_state.attempt

    @property
    def last_time(self) -> float:
        """When its last event was (seconds since the epoch); 0 if there is none."""
        return float((self.job_state.event or {}).get("t", 0.0))

    @property
    def seconds(self) -> float | None:
        """How long a done job took; None for any other."""
        seconds = (self.job_state.event or {}).get("seconds") if self.state == "done" else None
        return None if seconds is None else float(seconds)

    @property
    def result_files(self) -> Collection[str]:
        """The names of the files that a done job has published; none of any other job."""
        return (self.job_state.event or {})["files"] if self.state == "done" else ()

    @property
    def result_folder(self) -> Path:
        """The folder of the result of a done job."""
        return self.job_state.holding_study.result_folder(self.id, self.attempt)

    def failure_json(self) -> dict[str, Any]:
        """The JSON form of a failed job, for scripts; ``log`` is None if nothing was printed.

        If the job never began on a cluster, ``log`` is the log of its task.
        """
        event, study = self.job_state.event or {}, self.job_state.holding_study
        log = study.path / event["log"] if "log" in event else study.log_file(self.job.id, self.job_state.attempt)
        return {
            "id": self.job.id,
            "axes": dict(self.job.axes),
            "kind": event.get("kind", "error"),
            "reason": self.job_state.reason,
            "attempts": self.job_state.attempt,
            "log": str(log) if log.exists() else None,
        }


@dataclass(frozen=True, slots=True)
class DoneGroup:
    """Done jobs without parents that differ in nothing that an overview shows; ``example`` is the first of the study.

    ``places`` are their numbers in the study, ``ended`` their times (seconds since the epoch), ``seconds`` how long
    each took, ``attempts`` whose results count, and ``rows`` those of the plans.
    """

    example: JobView
    places: Sequence[int]
    ended: Sequence[float]
    seconds: Sequence[float]
    attempts: Sequence[int]
    rows: Sequence[int]

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.places)


class LateView(JobView):
    """The view of a job that is like ``example``. What only this job has is read when somebody asks for it."""

    __slots__ = ("_axes", "_example", "_id", "_row", "_source")

    def __init__(self, job: str, example: JobView, row: int, source: LateSource) -> None:
        """``row`` is the job's row in the plans."""
        self.changes = example.changes
        self._id, self._example, self._row, self._source = job, example, row, source
        self._axes: Mapping[str, Any] | None = None

    def read_axes_of(self, views: Sequence[LateView]) -> None:
        """Read the axis values of other views of the study."""
        read = self._source.read_axes([view._row for view in views])
        for view, axes in zip(views, read, strict=True):
            view._axes = axes

    @property
    def id(self) -> str:
        """The job's id."""
        return self._id

    @property
    def stage(self) -> str:
        """The job's stage."""
        return self._example.stage

    @property
    def axes(self) -> Mapping[str, Any]:
        """The job's axis values."""
        if self._axes is None:
            [self._axes] = self._source.read_axes([self._row])
        return self._axes


class QueuedView(LateView):
    """The view of a job without parents that waits in a queue and was never begun: there is no event of it."""

    __slots__ = ()

    @property
    def job(self) -> JobDescription:
        """The job's description, which is not kept: there may be a hundred thousand."""
        return self._source.read_job(self._row)

    @property
    def job_state(self) -> JobState:
        """The job's state."""
        return self._example.job_state


class DoneView(LateView):
    """The view of a job of a group of done jobs."""

    __slots__ = ("_group", "_number", "_whole")

    def __init__(self, job: str, group: DoneGroup, number: int, source: LateSource) -> None:
        """``number`` is the job's number in the group."""
        super().__init__(job, group.example, group.rows[number], source)
        self._group, self._number = group, number
        self._whole: JobView | None = None

    def _read(self) -> JobView:
        if self._whole is None:
            self._whole = self._source.read_view(self._group, self._number)
        return self._whole

    @property
    def job(self) -> JobDescription:
        """The job's description."""
        return self._read().job

    @property
    def job_state(self) -> JobState:
        """The job's state, with its event."""
        return self._read().job_state

    @property
    def state(self) -> str:
        """The job's state."""
        return "done"

    @property
    def reason(self) -> str:
        """Why its result is stale."""
        return self.stale or ""

    @property
    def attempt(self) -> int:
        """The attempt whose result counts."""
        return self._group.attempts[self._number]

    @property
    def last_time(self) -> float:
        """When it was done."""
        return self._group.ended[self._number]

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return self._group.seconds[self._number]

    @property
    def result_files(self) -> Collection[str]:
        """The names of the files that it has published; they are the same in the whole group."""
        return self._group.example.result_files

    @property
    def result_folder(self) -> Path:
        """The folder of its result."""
        return self._group.example.job_state.holding_study.result_folder(self._id, self.attempt)


class LateSource(Protocol):
    """How to read what a `LateView` does not have."""

    def read_job(self, row: int) -> JobDescription:
        """Return the description of the job in a row of the plans."""

    def read_view(self, group: DoneGroup, number: int) -> JobView:
        """Return the view of the job of a number in a group, with description and event."""

    def read_axes(self, rows: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """Return the axis values of the jobs in some rows of the plans."""


def with_axes(views: Iterable[JobView]) -> Iterator[JobView]:
    """Yield views of one study whose axis values somebody is about to ask for: these are read for many at a time."""
    remaining = iter(views)
    while some := list(islice(remaining, _READ_AT_ONCE)):
        late = [view for view in some if isinstance(view, LateView)]
        if late:
            late[0].read_axes_of(late)
        yield from some


class JobViews(Sequence[JobView]):
    """The views, in the order of the study. ``groups`` has the jobs that are alike, ``others`` the rest by place."""

    def __init__(
        self,
        ids: Sequence[str],
        groups: Sequence[DoneGroup],
        others: Mapping[int, JobView],
        source: LateSource,
    ) -> None:
        self.ids = ids
        self.groups = groups
        self.others = others
        self.source = source
        self._places: tuple[Sequence[int], Sequence[int]] | None = None

    def __eq__(self, other: object) -> bool:
        """Whether the jobs, their states and their results are the same; no description and no event is read."""
        if not isinstance(other, JobViews):
            return NotImplemented
        return (self.ids, self.groups, self.others) == (other.ids, other.groups, other.others)

    def __len__(self) -> int:
        return len(self.ids)

    def state_at(self, place: int) -> str:
        """Return the state of the job at a place."""
        other = self.others.get(place)
        return "done" if other is None else other.state

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        other = self.others.get(place)
        return self._late_view(place) if other is None else other

    def _late_view(self, place: int) -> JobView:
        group_at, number_at = self._in_groups()
        return DoneView(self.ids[place], self.groups[group_at[place]], number_at[place], self.source)

    def _in_groups(self) -> tuple[Sequence[int], Sequence[int]]:
        """The number of the group of each place, and the number that the place has in it."""
        if self._places is None:
            group_at, number_at = array("i", bytes(4 * len(self))), array("i", bytes(4 * len(self)))
            for number, group in enumerate(self.groups):
                for in_group, place in enumerate(group.places):
                    group_at[place], number_at[place] = number, in_group
            self._places = group_at, number_at
        return self._places

    def __iter__(self) -> Iterator[JobView]:
        return map(self.__getitem__, range(len(self)))


def others_of(views: Iterable[JobView]) -> list[JobView]:
    """Return the views of all jobs that are not in a group of done jobs: among them are all that are not done."""
    return [view for _, view in sorted(views.others.items())] if isinstance(views, JobViews) else list(views)


def groups_of(views: Iterable[JobView]) -> Sequence[DoneGroup]:
    """Return the groups of done jobs that are alike; there are none if every job has a view of its own."""
    return views.groups if isinstance(views, JobViews) else ()


def counted(views: Iterable[JobView]) -> list[tuple[JobView, int]]:
    """Return one view for all jobs that are alike, with their number, in the order of the study."""
    if not isinstance(views, JobViews):
        return [(view, 1) for view in views]
    single = ((place, view, 1) for place, view in views.others.items())
    grouped = ((group.places[0], group.example, group.count) for group in views.groups)
    return [(view, count) for _, view, count in sorted((*single, *grouped), key=lambda one: one[0])]


def by_stage(views: Iterable[JobView]) -> dict[str, list[JobView] | JobViews]:
    """Return the views of each stage, in the order of the study."""
    if not isinstance(views, JobViews):
        listed: dict[str, list[JobView]] = {}
        for view in views:
            listed.setdefault(view.stage, []).append(view)
        return dict(listed)
    told = list(dict.fromkeys(view.stage for view, _ in counted(views)))
    return {stage: views if len(told) == 1 else _of_stage(views, stage) for stage in told}


def _of_stage(views: JobViews, stage: str) -> JobViews:
    """The views of one stage, with places of their own."""
    groups = [group for group in views.groups if group.example.stage == stage]
    others = {place: view for place, view in views.others.items() if view.stage == stage}
    places = sorted(others.keys() | {place for group in groups for place in group.places})
    at = {place: number for number, place in enumerate(places)}
    ids = [views.ids[place] for place in places]
    own = [replace(group, places=[at[place] for place in group.places]) for group in groups]
    return JobViews(ids, own, {at[place]: view for place, view in others.items()}, views.source)
