"""The report's tables of numbers: means per group and pooled out-of-fold metrics, the best of each column marked.

Every number is a cell that names the jobs behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.stages import LIGHTNING_RUN
from seedfold.results.evaluation.axes import CODE_AXES, Group, axis_names, group_runs
from seedfold.results.evaluation.missing_values import count_by_group, is_defined
from seedfold.results.evaluation.problem_axes import problem_axes
from seedfold.results.report.shown_axes import ShownAxes, choose_axes
from seedfold.results.store.finished_job import Addressed, FinishedJob
from seedfold.results.store.metrics import CLASSIFICATION, REGRESSION, Scores
from seedfold.results.store.published import RETURNED, MetricRecord, Result
from seedfold.results.tables.best_values import lower_is_better
from seedfold.results.tables.number_text import UNDEFINED, mean_text

SHOWN_METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss", "rmse", "mae", "r2", "dice", "jaccard")
"""The metrics of the report's tables; `seedfold results` has all of them."""
BEST_STEP = "_best_step"
"""The end of the names of metrics that are not values but epochs."""
MOST_OF_ITS_OWN = 8
"""How many metrics the report shows besides `SHOWN_METRICS`: those that a program returned or logged."""
_RUNS_OF_OTHERS = ("seedfold.trainers.programs.", LIGHTNING_RUN)


@dataclass(slots=True)
class Cell:
    """One number: its text, its value for comparison, and whether it is the best of its column among its peers."""

    text: str
    value: float | None = None
    is_best: bool = False


@dataclass(slots=True)
class ReportRow:
    """One group's numbers; ``link_kind`` and the group lead to the list of its jobs."""

    group: Group
    head: str
    cells: dict[str, Cell]
    link_kind: str
    notes: Mapping[str, str] = field(default_factory=dict)
    incomplete_groups: int = 0
    expected: int = 0
    """How many jobs the group should have, if that is known."""

    @property
    def jobs(self) -> str:
        """Return how many jobs the row is computed from, and how many it should have."""
        count = len(self.group.runs)
        return f"{count} of {self.expected}" if count < self.expected else str(count)

    @property
    def anchor(self) -> str:
        """Return the anchor of the list of the row's jobs."""
        return group_anchor(self.link_kind, self.group)

    @property
    def stale_count(self) -> int:
        """Return how many of the row's jobs are stale."""
        return sum(run.stale is not None for run in self.group.runs)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows with their axes and columns; ``left_out`` is how many rows were left out.

    The best of a column is marked over the axes ``compared``, within each value of the axes ``problem``.
    """

    axes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[ReportRow]
    has_heads: bool
    has_stages: bool
    left_out: int = 0
    problem: Sequence[str] = ()
    shown_axes: ShownAxes = field(default_factory=lambda: ShownAxes(()))

    @property
    def compared(self) -> list[str]:
        """Return the axes of the methods."""
        return [axis for axis in self.axes if axis not in self.problem]

    def legend(self, averaged: Sequence[str]) -> str:
        """Return what the numbers are, and what the signs beside them mean, for means over the axes ``averaged``."""
        over = f" over {', '.join(averaged)}" if averaged else ""
        within = f", within each value of {', '.join(self.problem)}" if self.problem else ""
        best = f"★ best over {', '.join(self.compared)}{within}; " if self.compared else ""
        return f"Mean ± standard deviation{over}. {best}{UNDEFINED} undefined; (5 of 6): of fewer values than planned."


def group_anchor(link_kind: str, group: Group) -> str:
    """Return the anchor of a group's list of jobs."""
    return f"{link_kind}-{hashlib.sha256(group.address_text.encode()).hexdigest()[:12]}"


def shown_metrics(result: Result) -> Sequence[MetricRecord]:
    """Return the metrics of a job that the report shows."""
    found = [each for each in result.metrics if not each["metric"].endswith(BEST_STEP)]
    usual = [each for each in found if each["metric"] in SHOWN_METRICS]
    own = [each for each in found if each not in usual and (not usual or _is_of_its_own(result, each))]
    return [*usual, *own[:MOST_OF_ITS_OWN]]


def _is_of_its_own(result: Result, metric: MetricRecord) -> bool:
    """Whether the author of a job chose to return or log a metric; Seedfold's own stages log too many for a table."""
    if metric["metric"] in (*CLASSIFICATION, *REGRESSION):
        return False
    is_own_stage = result.run.startswith("seedfold.") and not result.run.startswith(_RUNS_OF_OTHERS)
    return metric["split"] == RETURNED or not is_own_stage


def make_mean_table(
    runs: Sequence[FinishedJob],
    results: Mapping[str, Result],
    over: Sequence[str],
    limit: int,
    planned: Iterable[Addressed] = (),
    compare: Sequence[str] | None = None,
) -> ReportTable:
    """Return mean and standard deviation of each shown metric over the axes ``over``, per group and head.

    If a cell has fewer values than the group has ``planned`` places, it says so. ``compare`` is as in `problem_axes`.
    """
    groups, expected = group_runs(runs, over), count_by_group(planned, over)
    rows = [row for group in groups[:limit] for row in _mean_rows(group, results, expected[group.address_text])]
    return _make_table(rows, over, max(0, len(groups) - limit), compare)


def _mean_rows(group: Group, results: Mapping[str, Result], expected: int) -> list[ReportRow]:
    values: dict[str, dict[str, list[float | None]]] = {}
    for run in group.runs:
        for each in shown_metrics(results[run.id]):
            head_values = values.setdefault(each["head"], {})
            head_values.setdefault(f"{each['split']} {each['metric']}", []).append(each["value"])
    if len(values) == 2 and RETURNED in values:
        # What the job logged besides the predictions of its only head needs no row for itself.
        [head] = values.keys() - {RETURNED}
        values = {head: values[head] | values[RETURNED]}
    return [
        ReportRow(
            group,
            head,
            {name: _mean_cell(found, expected) for name, found in columns.items()},
            "group",
            expected=expected,
        )
        for head, columns in values.items()
    ]


def _mean_cell(values: Sequence[float | None], expected: int) -> Cell:
    found = [value for value in values if value is not None and is_defined(value)]
    expected = max(expected, len(values))
    count = f" ({len(found)} of {expected})" if len(found) < expected else ""
    if not found:
        return Cell(UNDEFINED + count)
    mean = float(np.mean(found))
    deviation = float(np.std(found, ddof=1)) if len(found) > 1 else None
    return Cell(mean_text(mean, deviation) + count, mean)


@dataclass(slots=True)
class PooledMetrics:
    """The pooled metrics of one head, once per value of the axes averaged over, and the jobs they are computed from."""

    group: Group
    head: str
    scores: list[Scores] = field(default_factory=list)
    samples: set[int] = field(default_factory=set)
    folds: set[int] = field(default_factory=set)
    incomplete_groups: int = 0
    expected: int = 0
    """How many repetitions there should be."""

    def to_row(self) -> ReportRow:
        """Return the mean and standard deviation of each shown metric."""
        names = [name for name in SHOWN_METRICS if any(name in scores for scores in self.scores)]
        cells = {name: _mean_cell([scores.get(name) for scores in self.scores], self.expected) for name in names}
        notes = {"samples": _range_text(self.samples), "folds": _range_text(self.folds)}
        return ReportRow(self.group, self.head, cells, "group", notes, self.incomplete_groups)


def _range_text(counts: Iterable[int]) -> str:
    found = sorted(counts)
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _make_table(
    rows: list[ReportRow], over: Sequence[str], left_out: int, compare: Sequence[str] | None
) -> ReportTable:
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    axes = [axis for axis in axis_names([row.group for row in rows]) if axis not in over]
    # The best is marked within each version of the code, because a version of the code is not a method.
    problem = list(dict.fromkeys([*problem_axes(axes, compare), *(axis for axis in axes if axis in CODE_AXES)]))
    mark_best(rows, columns, problem)
    stages = {row.group.stage for row in rows}
    # A stage with one head needs no name for it, whatever other stages call theirs.
    has_heads, has_stages = len({(row.group.stage, row.head) for row in rows}) > len(stages), len(stages) > 1
    shown = choose_axes([row.group for row in rows], axes)
    told = [axis for axis in problem if axis not in shown.constant]
    return ReportTable(shown.names, columns, rows, has_heads, has_stages, left_out, told, shown)


def make_pooled_table(
    scored: Iterable[PooledMetrics], over: Sequence[str], left_out: int, compare: Sequence[str] | None = None
) -> ReportTable:
    """Return the table of pooled out-of-fold metrics; ``over`` are the axes averaged over and the fold."""
    return _make_table([each.to_row() for each in scored], over, left_out, compare)


def mark_best(rows: Sequence[ReportRow], columns: Sequence[str], problem: Sequence[str]) -> None:
    """Mark the best cells of each column among rows of one stage, head and problem, as `find_best` does."""
    peers: dict[tuple[str, str, str], list[ReportRow]] = {}
    for row in rows:
        own = {axis: value for axis, value in row.group.axes.items() if axis in problem}
        peers.setdefault((row.group.stage, row.head, canonical_json(own)), []).append(row)
    for block in peers.values():
        for name in columns:
            cells = [row.cells[name] for row in block if name in row.cells and row.cells[name].value is not None]
            _mark_best_cells(cells, lower_is_better(name.split()[-1]))


def _mark_best_cells(cells: Sequence[Cell], lower: bool | None) -> None:
    if len(cells) < 2 or lower is None:
        return
    values = [cell.value for cell in cells if cell.value is not None]
    best = min(values) if lower else max(values)
    if len(set(values)) > 1:
        for cell in cells:
            cell.is_best = cell.value == best
