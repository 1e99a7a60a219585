"""Some of the jobs of a study, by their places: of a hundred thousand jobs only those that are shown have a view."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from typing import Any

from seedfold.orchestrator.state.job_views import JobView, JobViews


class PickedViews(Sequence[JobView]):
    """The views at some ``places``, in their order; each is made anew whenever somebody asks for it."""

    def __init__(self, views: Sequence[JobView], places: Sequence[int]) -> None:
        self.places = places
        self._views = views

    @classmethod
    def all(cls, views: Sequence[JobView]) -> PickedViews:
        """Return all of the views."""
        return cls(views, range(len(views)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return PickedViews(self._views, self.places[place])
        return self._views[self.places[place]]

    def __iter__(self) -> Iterator[JobView]:
        return map(self._views.__getitem__, self.places)

    def at(self, places: Sequence[int]) -> PickedViews:
        """Return those at some places of the study."""
        return PickedViews(self._views, array("i", places))

    def states(self) -> Iterator[str]:
        """Yield the state of each job."""
        if isinstance(self._views, JobViews):
            return map(self._views.state_at, self.places)
        return (view.state for view in self)

    @cached_property
    def counts(self) -> Counter[str]:
        """How many jobs there are in each state."""
        return Counter(self.states())

    def in_states(self, states: Set[str]) -> PickedViews:
        """Return those in some states."""
        if self.counts.keys() <= states:
            return self
        return self.at([place for place, state in zip(self.places, self.states(), strict=True) if state in states])


def in_states(views: Sequence[JobView], states: Set[str]) -> Sequence[JobView]:
    """Return the views of jobs in some states."""
    if isinstance(views, PickedViews):
        return views.in_states(states)
    return [view for view in views if view.state in states]
