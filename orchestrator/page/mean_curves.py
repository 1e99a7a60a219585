"""Learning curves of settings: the means of the curves of jobs that differ in their seeds or folds alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from seedfold.orchestrator.state.job_curves import Points
from seedfold.orchestrator.state.job_views import counted
from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.selecting_conditions import Condition, value_key
from seedfold.results.evaluation.axes import axis_names
from seedfold.results.evaluation.problem_axes import is_repetition


def repeated_axes(views: Sequence[JobView]) -> list[str]:
    """Return the axes of seeds and folds."""
    return [axis for axis in axis_names(view for view, _ in counted(views)) if is_repetition(axis)]


def group_settings(views: Sequence[JobView], repeated: Sequence[str]) -> list[list[JobView]]:
    """Return the jobs of each setting, in the order in which the first of them come."""
    groups: dict[Hashable, list[JobView]] = {}
    for view in views:
        own = tuple((axis, value_key(value)) for axis, value in view.axes.items() if axis not in repeated)
        groups.setdefault((view.stage, own), []).append(view)
    return list(groups.values())


def choose_members(group: Sequence[JobView]) -> list[JobView]:
    """Return the jobs of which the mean is taken: those that are done, else those that run, else all that began.

    So the mean is of as many jobs at each step, and those that have just begun do not pull it down.
    """
    by_state = ([view for view in group if view.state == state] for state in ("done", "running"))
    return next((found for found in by_state if found), list(group))


def setting_condition(view: JobView, repeated: Sequence[str]) -> str:
    """Return the condition that the jobs of a setting meet."""
    return Condition({axis: [value] for axis, value in view.axes.items() if axis not in repeated}).text


def mean_points(curves: Sequence[Points]) -> list[tuple[int, float | None]]:
    """Return the mean at each step that all curves have; None where one has no number."""
    tables: list[Mapping[Any, Any]] = [dict(points) for points in curves]
    steps = [step for step in tables[0] if all(step in table for table in tables)]
    return [(step, _mean([table[step] for table in tables])) for step in steps]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
