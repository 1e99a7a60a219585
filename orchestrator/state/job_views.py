"""The jobs of a study with their states, of which those that are done and alike are told once, with their number.

A study of a hundred thousand done jobs is counted without a value for each of them. Whoever needs each job takes the
views one after the other, as from a list: each is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.state.job_states import JobState


@dataclass(frozen=True, slots=True)
class JobView:
    """One job and its state; ``changes`` say why the result of a done job is stale."""

    job: JobDescription
    job_state: JobState
    changes: tuple[str, ...] = ()

    @property
    def stale(self) -> str | None:
        """The first of the changes."""
        return self.changes[0] if self.changes else None

    @property
    def state(self) -> str:
        """The job's state."""
        return self.job_state.state

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
    each took.
    """

    example: JobView
    places: Sequence[int]
    ended: Sequence[float]
    seconds: Sequence[float]

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.places)


class JobViews(Sequence[JobView]):
    """The views, in the order of the study. ``groups`` has the jobs that are alike, ``others`` the rest by place."""

    def __init__(
        self,
        ids: Sequence[str],
        make_view: Callable[[int, DoneGroup], JobView],
        groups: Sequence[DoneGroup],
        others: Mapping[int, JobView],
    ) -> None:
        """``make_view`` returns the view of the job at a place, which is in a group."""
        self.ids = ids
        self.groups = groups
        self.others = others
        self._make_view = make_view
        self._group_at: dict[int, DoneGroup] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        return self.others.get(place) or self._make_view(place, self._groups_by_place()[place])

    def _groups_by_place(self) -> Mapping[int, DoneGroup]:
        if not self._group_at:
            self._group_at = {place: group for group in self.groups for place in group.places}
        return self._group_at

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
            listed.setdefault(view.job.stage, []).append(view)
        return dict(listed)
    told = list(dict.fromkeys(view.job.stage for view, _ in counted(views)))
    return {stage: views if len(told) == 1 else _of_stage(views, stage) for stage in told}


def _of_stage(views: JobViews, stage: str) -> JobViews:
    """The views of one stage, with places of their own."""
    groups = [group for group in views.groups if group.example.job.stage == stage]
    others = {place: view for place, view in views.others.items() if view.job.stage == stage}
    places = sorted(others.keys() | {place for group in groups for place in group.places})
    at = {place: number for number, place in enumerate(places)}
    return JobViews(
        [views.ids[place] for place in places],
        lambda number, _: views[places[number]],
        [replace(group, places=[at[place] for place in group.places]) for group in groups],
        {at[place]: view for place, view in others.items()},
    )
