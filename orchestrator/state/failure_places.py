"""Which settings fail: what the jobs of a group of equal failures have in common and other jobs do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seedfold.orchestrator.state.job_views import JobView, groups_of, others_of, with_axes
from seedfold.orchestrator.state.overview import FailureGroup, unique_by_id
from seedfold.orchestrator.state.selecting_conditions import MOST_TOLD_APART, Condition, ConditionFinder
from seedfold.results.store.finished_job import Addressed

MOST_GROUPS = 20
"""Of how many groups it is looked for a condition that only their jobs meet."""
_MOST_SAMPLED = 2000
_ENDED = ("done", "failed")


@dataclass(frozen=True, slots=True)
class FailurePlace:
    """Where jobs failed. Of the jobs that have ended, only they meet ``condition``; None if none was found.

    ``shared`` has the values that they have in common, and that not all jobs of the study have.
    """

    job_count: int
    condition: Condition | None
    shared: Condition

    @property
    def text(self) -> str:
        """A line for people; empty for a single job, whose own axes say it, and if there is nothing to say."""
        if self.job_count == 1:
            return ""
        if self.condition is not None and self.condition.text:
            return f"every job with {self.condition.text} that has ended failed so, and no other"
        return f"all with {self.shared.text}" if self.shared.text else ""


def find_failure_places(groups: Sequence[FailureGroup], views: Sequence[JobView]) -> list[FailurePlace]:
    """Return the place of each group. Of more than `MOST_TOLD_APART` jobs only some are looked at, for ``shared``."""
    if not groups:
        return []
    unique = unique_by_id(views)
    is_small = len(unique) <= MOST_TOLD_APART
    ended, others = _split(unique, 1 if is_small else len(unique) // _MOST_SAMPLED)
    every = ConditionFinder([*ended, *others])
    finder = ConditionFinder(ended) if is_small else None
    failed = {view.id: view for view in others_of(unique) if view.state == "failed"}
    places = []
    for number, group in enumerate(groups):
        jobs = [failed[job] for job in group.jobs]
        condition = finder.find(jobs) if finder and number < MOST_GROUPS else None
        places.append(FailurePlace(len(jobs), condition, every.shared_by(jobs)))
    return places


def _split(views: Sequence[JobView], step: int) -> tuple[list[Addressed], list[Addressed]]:
    """Each ``step``-th of the jobs that have ended, and of the others."""
    ended: list[Addressed] = []
    others: list[Addressed] = []
    for view in others_of(views)[::step]:
        (ended if view.state in _ENDED else others).append(view)
    ended += with_axes(views[place] for group in groups_of(views) for place in group.places[::step])
    return ended, others
