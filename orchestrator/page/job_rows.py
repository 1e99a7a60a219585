"""The table of jobs of a study: filtered, sorted, grouped and cut into pages here, so that a page of it is small."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.page.commands import selection_commands
from seedfold.orchestrator.page.kept_studies import KeptStudy, Snapshot
from seedfold.orchestrator.page.picked_views import PickedViews
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.job_views import counted, with_axes
from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.selecting_conditions import condition_value, value_key
from seedfold.results.evaluation.axes import axis_names, format_value, short_names
from seedfold.results.evaluation.missing_values import is_defined

MOST_ROWS = 500
_MOST_READ = 5000
"""Of how many jobs the results are read for the means of groups."""
_MOST_GROUPS = 500
_MOST_TEXT = 500
_KINDS = {
    "id": "id",
    "stage": "text",
    "state": "state",
    "reason": "text",
    "attempt": "number",
    "seconds": "number",
    "host": "text",
}
_AFTER_AXES = ("state", "reason", "attempt", "seconds", "host")


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """What is asked of the table of jobs. ``where`` are conditions as those of ``--where``."""

    where: Sequence[str] = ()
    stages: Sequence[str] = ()
    states: Sequence[str] = ()
    sort: str | None = None
    descending: bool = False
    page: int = 1
    size: int = 50
    group: str | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    key: str
    name: str
    kind: str
    value: Callable[[JobView], Any] = field(repr=False)

    def to_json(self) -> dict[str, str]:
        return {"key": self.key, "name": self.name, "kind": self.kind}


def select_views(
    snapshot: Snapshot, where: Sequence[str], stages: Sequence[str] = (), states: Sequence[str] = ()
) -> PickedViews:
    """Return the jobs that meet the conditions, in the order of the study. Raises UsageError for a bad condition."""
    selection = Selection.parse(where, stages)
    # Views that stay while all conditions are looked at: what one has read it does not read again.
    views = list(with_axes(snapshot.views)) if where or stages else []
    selection.check_names(views)
    for state in states:
        if state not in STATES:
            raise UsageError(f"state={state}: no such state{did_you_mean(state, STATES)}; states: {', '.join(STATES)}")
    chosen = PickedViews.all(snapshot.views)
    if where or stages:
        numbered = selection.apply(enumerate(views), lambda one: one[1])
        chosen = chosen.at([place for place, _ in numbered])
    return chosen.in_states(set(states)) if states else chosen


def make_rows(study: KeptStudy, asked: RowQuestion) -> dict[str, Any]:
    """Return one page of the table, its columns, and the commands for the jobs that it has on all its pages."""
    snapshot = study.snapshot()
    views = found = _select(study, snapshot, asked)
    columns = _columns(study, snapshot)
    if asked.sort:
        key = (snapshot.version, *_question_key(asked))
        views = study.answers.get(("sorted", *key), lambda: _sort(study, views, columns, asked))
    shown = views[(asked.page - 1) * asked.size : asked.page * asked.size]
    metrics = study.results.names(shown)
    all_columns = [*columns.values(), *(_metric_column(study, name) for name in metrics)]
    groups = {"groups": _groups(study, views, columns, asked.group)} if asked.group else {}
    return {
        "total": len(views),
        "page": asked.page,
        "size": asked.size,
        "columns": [column.to_json() for column in all_columns],
        "rows": [[column.value(view) for column in all_columns] for view in shown],
        **groups,
        **study.once(
            snapshot.version,
            ("commands", tuple(asked.where), tuple(asked.stages), tuple(asked.states)),
            lambda: _commands(study, snapshot, asked, found),
        ),
    }


def _select(study: KeptStudy, snapshot: Snapshot, asked: RowQuestion) -> PickedViews:
    question = ("selected", tuple(asked.where), tuple(asked.stages), tuple(asked.states))
    return study.once(
        snapshot.version, question, lambda: select_views(snapshot, asked.where, asked.stages, asked.states)
    )


def _commands(study: KeptStudy, snapshot: Snapshot, asked: RowQuestion, found: PickedViews) -> dict[str, Any]:
    selected = select_views(snapshot, asked.where, asked.stages) if asked.states else found
    return selection_commands(study, asked.where, asked.stages, selected, found)


def _question_key(asked: RowQuestion) -> tuple[Any, ...]:
    return tuple(asked.where), tuple(asked.stages), tuple(asked.states), asked.sort, asked.descending


def _columns(study: KeptStudy, snapshot: Snapshot) -> dict[str, _Column]:
    """The columns that need no results, by key. An axis of the name of another column is ``axis.NAME``."""
    axes = study.once(snapshot.version, ("axes",), lambda: axis_names(view for view, _ in counted(snapshot.views)))
    short = short_names(axes)
    found = [_plain_column(key) for key in ("id", "stage")]
    found += [_axis_column(name, short[name]) for name in axes]
    found += [_plain_column(key) for key in _AFTER_AXES]
    return {column.key: column for column in found}


def _axis_column(name: str, short: str) -> _Column:
    key = f"axis.{name}" if name in _KINDS else name
    return _Column(key, short, "axis", lambda view: axis_cell(view, name))


def axis_cell(view: JobView, name: str) -> Any:
    """The value of an axis; lists and mappings as JSON text, None if the job does not have the axis."""
    if name not in view.axes:
        return None
    value = view.axes[name]
    return format_value(value) if isinstance(value, list | dict | tuple) or value is None else value


def _plain_column(key: str) -> _Column:
    return _Column(key, key, _KINDS[key], _PLAIN_VALUES[key])


def _metric_column(study: KeptStudy, name: str) -> _Column:
    return _Column(name, name, "metric", lambda view: study.results.values_of(view).get(name))


def _host(view: JobView) -> str | None:
    event = view.job_state.event or {}
    return event.get("host") or (event.get("process") or {}).get("host")


_PLAIN_VALUES: Mapping[str, Callable[[JobView], Any]] = {
    "id": lambda view: view.id,
    "stage": lambda view: view.stage,
    "state": lambda view: view.state,
    "reason": lambda view: view.reason[:_MOST_TEXT],
    "attempt": lambda view: view.attempt or None,
    "seconds": lambda view: view.seconds,
    "host": _host,
}


def _find_column(study: KeptStudy, views: Sequence[JobView], columns: Mapping[str, _Column], key: str) -> _Column:
    """The column of a key. Only if none of the others has it, results are read for the names of their metrics."""
    if key in columns:
        return columns[key]
    named = [column for column in columns.values() if column.kind == "axis" and column.name == key]
    if len(named) == 1:
        return named[0]
    metrics = study.results.names(views)
    metric = key if key in metrics else key.replace("/", ".")
    if metric not in metrics:
        known = [*columns, *metrics]
        raise UsageError(f"{key[:80]}: no such column{did_you_mean(key, known)}; columns: {', '.join(known)}")
    return _metric_column(study, metric)


def _sort(study: KeptStudy, views: PickedViews, columns: Mapping[str, _Column], asked: RowQuestion) -> PickedViews:
    """Sort by a column: numbers before texts, and what has no value last, in either direction."""
    column = _find_column(study, views, columns, asked.sort or "")
    valued = [(column.value(view), place) for view, place in _each(views, column)]
    present = [(value, place) for value, place in valued if _has_value(value)]
    absent = [place for value, place in valued if not _has_value(value)]
    ordered = sorted(present, key=lambda pair: _rank(pair[0]), reverse=asked.descending)
    return views.at([*(place for _, place in ordered), *absent])


def _each(views: PickedViews, column: _Column) -> Iterable[tuple[JobView, int]]:
    """The views, with their places in the study, to ask for a column of each."""
    return zip(with_axes(views) if column.kind == "axis" else views, views.places, strict=True)


def _has_value(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or is_defined(value))


def _rank(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _groups(study: KeptStudy, views: PickedViews, columns: Mapping[str, _Column], name: str) -> list[dict[str, Any]]:
    column = _find_column(study, views, columns, name)
    members: dict[Hashable, list[int]] = {}
    values: dict[Hashable, Any] = {}
    for view, place in _each(views, column):
        value = column.value(view)
        key = value_key(value)
        values.setdefault(key, value)
        members.setdefault(key, []).append(place)
    with_means = len(views) <= _MOST_READ or study.results.are_read(views)
    return [
        {
            "value": values[key],
            "where": f"{name}={condition_value(values[key])}" if column.kind == "axis" else None,
            "jobs": len(own),
            "states": dict(own.counts),
            "means": _means(study, own) if with_means else {},
        }
        for key, own in ((key, views.at(places)) for key, places in list(members.items())[:_MOST_GROUPS])
    ]


def _means(study: KeptStudy, views: Sequence[JobView]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for view in views:
        for name, value in study.results.values_of(view).items():
            if value is not None and is_defined(value):
                values.setdefault(name, []).append(value)
    return {name: fmean(found) for name, found in values.items()}
