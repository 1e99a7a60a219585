"""Learning curves, and the final metrics of many jobs as points for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.page.job_rows import axis_cell, select_views
from seedfold.orchestrator.page.kept_studies import KeptStudy, Snapshot
from seedfold.orchestrator.page.mean_curves import (
    choose_members,
    group_settings,
    mean_points,
    repeated_axes,
    setting_condition,
)
from seedfold.orchestrator.state.job_curves import Points, has_curves, read_curves
from seedfold.orchestrator.state.overview import JobView, unique_by_id
from seedfold.orchestrator.state.selecting_conditions import whole_number
from seedfold.results.evaluation.axes import axis_names, format_value, short_names
from seedfold.results.recording.collect import find_monitor
from seedfold.results.report.shown_axes import choose_axes

MOST_CURVES = 200
MOST_POINTS = 5000
_MOST_STEPS = 500
_MOST_MEMBERS = 20
"""Of how many jobs of a setting the mean is taken."""
_LABELLED = 2000
"""Among how many jobs the axes are looked for that tell them apart."""


def make_curves(
    study: KeptStudy, where: Sequence[str], metric: str | None, limit: int, *, mean: bool = False
) -> dict[str, Any]:
    """Return the curves of one metric, of running jobs first, then of those that ended last.

    With ``mean``, those of settings: the means over seeds and folds.
    """
    snapshot = study.snapshot()
    having = study.once(snapshot.version, ("curves", tuple(where)), lambda: _with_curves(snapshot, where))
    repeated = study.once(snapshot.version, ("repeated",), lambda: repeated_axes(snapshot.unique))
    groups = group_settings(having, repeated) if mean else [[view] for view in having]
    shown = [(group, choose_members(group)[:_MOST_MEMBERS]) for group in groups[:limit]]
    curves_of = {view.job.id: _curves_of(study, view) for _, members in shown for view in members}
    names = list(dict.fromkeys(name for curves in curves_of.values() for name in curves))
    if metric is not None and shown and metric not in names:
        raise UsageError(
            f"metric={metric[:80]}: no such curve{did_you_mean(metric, names)}; curves: {', '.join(names)}"
        )
    chosen = metric or _default_metric([group[0] for group, _ in shown], names)
    labels = make_labels(snapshot, [group[0] for group, _ in shown], repeated if mean else ())
    curves = []
    for (group, members), label in zip(shown, labels, strict=True):
        of_members = [curves_of[view.job.id] for view in members]
        own = [found[chosen] for found in of_members if chosen is not None and chosen in found]
        if own:
            points = mean_points(own) if len(own) > 1 else own[0]
            curve = _curve(members[0], label, points) | {"running": any(view.state == "running" for view in members)}
            setting = {"where": setting_condition(group[0], repeated), "jobs": len(own)} if mean else {}
            curves.append(curve | setting)
    told = {"metrics": names, "metric": chosen, "total": len(groups), "curves": curves}
    return told | {"repeated": list(short_names(repeated).values())}


def make_job_curves(study: KeptStudy, view: JobView) -> dict[str, Any]:
    """Return all curves of one job; their labels are the names of the metrics."""
    curves = _curves_of(study, view)
    return {
        "metrics": list(curves),
        "metric": _default_metric([view], list(curves)),
        "total": len(curves),
        "curves": [_curve(view, name, points) | {"metric": name} for name, points in curves.items()],
    }


def make_points(study: KeptStudy, where: Sequence[str], stage: str | None) -> dict[str, Any]:
    """Return axes and metrics of the done jobs of a stage, by default of the last one whose jobs have metrics."""
    snapshot = study.snapshot()
    views: Sequence[JobView] = select_views(snapshot, where, [stage] if stage else []).in_states({"done"})
    if stage is None:
        stage = _stage_with_metrics(study, views)
        views = [view for view in views if view.stage == stage]
    views = list(unique_by_id(views))
    shown = thin(views, MOST_POINTS)
    axes = axis_names(shown)
    short = short_names(axes)
    metrics = study.results.names(shown)
    return {
        "stage": stage,
        "columns": [
            {"key": "id", "name": "id", "kind": "id"},
            *({"key": axis, "name": short[axis], "kind": "axis"} for axis in axes),
            *({"key": name, "name": name, "kind": "metric"} for name in metrics),
        ],
        "rows": [_point(study, view, axes, metrics) for view in shown],
        "total": len(views),
        "shown": len(shown),
    }


def make_labels(snapshot: Snapshot, views: Sequence[JobView], left_out: Sequence[str] = ()) -> list[str]:
    """Return a short text for each job: the axes that tell the jobs of the study apart."""
    jobs = [view.job for view in [*thin(snapshot.unique, _LABELLED), *views]]
    names = [name for name in axis_names(jobs) if name not in left_out]
    shown, short = choose_axes(jobs, names).names, short_names(names)
    with_stage = len({job.stage for job in jobs}) > 1
    return [_label(view, shown, short, with_stage) for view in views]


def _label(view: JobView, shown: Sequence[str], short: Mapping[str, str], with_stage: bool) -> str:
    parts = [view.stage] if with_stage else []
    parts += [f"{short[name]}={format_value(whole_number(view.axes[name]))}" for name in shown if name in view.axes]
    return ", ".join(parts) or view.stage


def thin(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of the items, at equal distances, with the last one."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _with_curves(snapshot: Snapshot, where: Sequence[str]) -> list[JobView]:
    having = [view for view in unique_by_id(select_views(snapshot, where)) if has_curves(view)]
    return sorted(having, key=lambda view: (view.state != "running", -_last_time(view)))


def _last_time(view: JobView) -> float:
    return view.last_time if view.state != "running" else 0.0


def _curves_of(study: KeptStudy, view: JobView) -> Mapping[str, Points]:
    """The curves of a job; those of one that is done never change."""
    if view.state != "done":
        return read_curves(view)
    return study.curves.get((view.id, view.attempt), lambda: read_curves(view))


def _default_metric(views: Sequence[JobView], names: Sequence[str]) -> str | None:
    """The metric that the configuration watches, else the first of validation, else the first."""
    monitored = (find_monitor(view.job.config)[0] for view in views)
    validation = (name for name in names if name.startswith("val"))
    wanted = next((name for name in monitored if name in names), None)
    return wanted or next(validation, None) or next(iter(names), None)


def _curve(view: JobView, label: str, points: Points) -> dict[str, Any]:
    return {
        "id": view.id,
        "label": label,
        "state": view.state,
        "running": view.state == "running",
        "points": thin(points, _MOST_STEPS),
    }


def _stage_with_metrics(study: KeptStudy, views: Sequence[JobView]) -> str | None:
    first_of = {view.stage: view for view in reversed(views)}
    with_metrics = [stage for stage, view in first_of.items() if study.results.values_of(view)]
    counts = {stage: sum(view.stage == stage for view in views) for stage in with_metrics}
    return max(with_metrics, key=counts.__getitem__, default=None)


def _point(study: KeptStudy, view: JobView, axes: Sequence[str], metrics: Sequence[str]) -> list[Any]:
    values = study.results.values_of(view)
    return [view.id, *(axis_cell(view, axis) for axis in axes), *(values.get(name) for name in metrics)]
