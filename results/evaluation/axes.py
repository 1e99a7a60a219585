"""Axes as columns and groups: selects runs by conditions, and groups them by the axes that are not averaged over.

An axis that a run's stage does not have is null in its row. Values that a column cannot hold together, lists and
mappings among them, appear as canonical JSON text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.conditions import ID_KEYS, STAGE_KEY, Term, Where, are_equal, find_axis
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.store.finished_job import Addressed, FinishedJob, Job

if TYPE_CHECKING:
    import pandas as pd

AnyAddressed = TypeVar("AnyAddressed", bound=Addressed)
AnyJob = TypeVar("AnyJob", bound=Job)
Selection = str | Where | None
_RUN_COLUMNS = (STAGE_KEY, *ID_KEYS)
CODE_AXES = ("code", "code_version", "version_of_the_code")
"""Names for the axis that separates versions of the code; the first one that no axis of the study has is used."""


def axis_names(runs: Iterable[Addressed]) -> list[str]:
    """Return the names of all axes, in the order in which they first appear."""
    return list(dict.fromkeys(name for run in runs for name in run.axes))


def last_component(axis: str) -> str:
    """Return the last part of an axis's key: ``ratio`` of ``sampling.ratio``."""
    return re.split(r"[./]", axis)[-1]


def short_names(axes: Sequence[str]) -> dict[str, str]:
    """Map each axis to its last component, or to its full name where several end in the same."""
    counts = Counter(map(last_component, axes))
    return {axis: short if counts[short := last_component(axis)] == 1 else axis for axis in axes}


def find_axes(runs: Iterable[Addressed], names: Iterable[str]) -> list[str]:
    """Return the full names of axes given in full or by their last component.

    Raises UsageError, with the nearest name, for an axis that no run has.
    """
    known = axis_names(runs)
    return [_require_axis(name, find_axis(name, known), known) for name in names]


def _require_axis(name: str, axis: str | None, known: Sequence[str]) -> str:
    if axis is None:
        listed = ", ".join(known) or "none"
        raise UsageError(f"{name}: no such axis in these runs{did_you_mean(name, known)}; axes: {listed}")
    return axis


def make_column(values: Sequence[Any]) -> pd.Series[Any]:
    """Return values as one typed column: whole numbers, numbers, truth values or text; nulls keep the type."""
    import pandas as pd

    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        dtype = "bool" if len(present) == len(values) else "boolean"
    elif kinds == {int}:
        dtype = "int64" if len(present) == len(values) else "Int64"
    elif kinds and kinds <= {int, float}:
        dtype = "float64" if len(present) == len(values) else "Float64"
    else:
        values = [value if value is None or isinstance(value, str) else canonical_json(value) for value in values]
        dtype = "str" if present else "object"
    return pd.Series(values, dtype=dtype)


def address_frame(addressed: Sequence[Addressed]) -> pd.DataFrame:
    """Return one row per run: ``stage`` and one column per axis."""
    import pandas as pd

    columns = {"stage": make_column([each.stage for each in addressed])}
    columns |= {name: make_column([each.axes.get(name) for each in addressed]) for name in axis_names(addressed)}
    return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one stage that agree on every axis but those averaged over. ``axes`` are the values they share."""

    stage: str
    axes: Mapping[str, Any]
    runs: tuple[FinishedJob, ...]

    @property
    def address_text(self) -> str:
        """A text that no other group has."""
        return address_key(self.stage, self.axes)

    @property
    def name(self) -> str:
        """The shared axis values as text, such as ``seed=7 model=mlp``; the stage where there are none."""
        return format_axes(self.axes) or self.stage


def format_axes(axes: Mapping[str, Any]) -> str:
    """Return axis values as a person would type them: ``seed=7 model=mlp``."""
    return " ".join(f"{name}={format_value(value)}" for name, value in axes.items())


def format_value(value: Any) -> str:
    """Return one axis value as text."""
    return value if isinstance(value, str) else canonical_json(value)


def address_key(stage: str, axes: Mapping[str, Any]) -> str:
    """Return a text that is equal exactly for equal places, whatever the order of the axes."""
    return canonical_json([stage, dict(axes)])


def without_axes(axes: Mapping[str, Any], over: Sequence[str]) -> dict[str, Any]:
    """Return the axes that are not in ``over``."""
    return {name: value for name, value in axes.items() if name not in over}


def group_runs(runs: Sequence[FinishedJob], over: Sequence[str]) -> list[Group]:
    """Group runs by stage and every axis that is not in ``over``, in the order of their first runs."""
    members: dict[str, list[FinishedJob]] = {}
    for run in runs:
        members.setdefault(address_key(run.stage, without_axes(run.axes, over)), []).append(run)
    return [Group(found[0].stage, without_axes(found[0].axes, over), tuple(found)) for found in members.values()]


def parse_where(where: Selection) -> Where:
    """Return conditions given as text, parsed already, or not at all."""
    if isinstance(where, Where):
        return where
    return Where.parse(where) if where else Where()


def select_runs(
    runs: Sequence[AnyJob], where: Selection, row_columns: Sequence[str] = ()
) -> tuple[list[AnyJob], tuple[Term, ...]]:
    """Split conditions: return the runs for which those on axes, stage and job hold, and those on ``row_columns``.

    A job is named by the beginning of its id. Raises UsageError for a key that is none of these.
    """
    condition = parse_where(where)
    axes = axis_names(runs)
    condition.check([*axes, *_RUN_COLUMNS, *row_columns])
    axis_terms = [term for term in condition.terms if find_axis(term.key, axes) is not None]
    others = [term for term in condition.terms if term not in axis_terms]
    run_terms = [term for term in others if term.key in _RUN_COLUMNS]
    axis_conditions = Where(tuple(axis_terms))
    chosen = [
        run
        for run in runs
        if axis_conditions.matches(run.axes) and all(_run_term_holds(term, run) for term in run_terms)
    ]
    return chosen, tuple(term for term in others if term.key in row_columns)


def _run_term_holds(term: Term, run: Job) -> bool:
    return term.holds(run.stage) if term.key == STAGE_KEY else term.holds_for_id(run.id)


def select_rows(frame: pd.DataFrame, terms: Iterable[Term]) -> pd.DataFrame:
    """Return the rows of a table for which all terms on its columns hold."""
    for term in terms:
        values = {value: term.holds(value) for value in frame[term.key].unique()}
        frame = frame[frame[term.key].map(values).astype(bool)]
    return frame.reset_index(drop=True)


def count_equal_axes(left: Mapping[str, Any], right: Mapping[str, Any]) -> int:
    """Return on how many axes two places agree."""
    return sum(name in right and are_equal(value, right[name]) for name, value in left.items())
