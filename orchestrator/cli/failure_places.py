"""Which settings fail: what the jobs of a group of equal failures have in common and other jobs do not."""

from __future__ import annotations

from collections.abc import Sequence

from seedfold.orchestrator.page.conditions import find_condition
from seedfold.orchestrator.state.common_place import axis_texts, common_place
from seedfold.orchestrator.state.overview import FailureGroup, JobView, unique_by_id

_MOST_GROUPS = 20
_MOST_JOBS = 5000
"""Of more groups, and among more jobs that have ended, it would take long to find what tells them apart."""


def failure_places(groups: Sequence[FailureGroup], views: Sequence[JobView]) -> list[str]:
    """Return for each group a text on the settings of its jobs; empty where there is nothing to say."""
    if not groups:
        return []
    unique_views = unique_by_id(views)
    by_id = {view.job.id: view for view in unique_views}
    ended = [view for view in unique_views if view.state in ("done", "failed")]
    all_values = axis_texts(view.job for view in unique_views)
    texts = []
    for number, group in enumerate(groups):
        failed = [by_id[job] for job in group.jobs]
        is_small = number < _MOST_GROUPS and len(ended) <= _MOST_JOBS
        condition = find_condition(failed, ended) if is_small and len(failed) > 1 else None
        if condition is not None and condition.text:
            texts.append(f"every job with {condition.text} that has ended failed so, and no other")
        else:
            place = common_place([view.job for view in failed], all_values)
            texts.append(f"all with {place}" if place else "")
    return texts
