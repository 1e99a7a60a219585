"""Tables of runs, metrics and predictions as DataFrames; everything that `seedfold results` prints.

A metric that is undefined is null. Standard deviations are of the sample (n - 1). Out-of-fold tables, ensembles,
curves and export are re-exported from their modules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from seedfold.jobs.conditions import Term
from seedfold.results.ensembles.mean_ensemble import ensemble, ensemble_metrics
from seedfold.results.evaluation.axes import (
    CODE_AXES,
    Selection,
    address_frame,
    axis_names,
    find_axes,
    select_rows,
    select_runs,
)
from seedfold.results.evaluation.curves import curves
from seedfold.results.evaluation.out_of_fold import oof, oof_metrics
from seedfold.results.evaluation.query import connect, query, split_files
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import Result, load_result
from seedfold.results.tables.export import export
from seedfold.results.tables.metric_means import ROWS, StudyPlan, averaged_axes, metric_frame, metric_means

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "StudyPlan",
    "averaged_axes",
    "curves",
    "ensemble",
    "ensemble_metrics",
    "export",
    "metric_means",
    "metrics",
    "oof",
    "oof_metrics",
    "predictions",
    "query",
    "runs",
]

_INTEGER_TYPES = frozenset({"BIGINT", "INTEGER"})
_ALL_ROWS_SQL = "SELECT * EXCLUDE (run_number, row_number) FROM predictions ORDER BY run_number, row_number"


def runs(runs: Sequence[FinishedJob], where: Selection = None) -> pd.DataFrame:
    """Return one row per run: job, stage, axes, attempt, seconds, host, stale, and every metric in a column.

    A metric's column is ``split.metric``, or ``split.head.metric`` where runs have several heads. Raises DamagedError
    for a run whose result is gone.
    """
    import pandas as pd

    chosen, _ = select_runs(runs, where)
    results = [load_result(run.folder) for run in chosen]
    frame = address_frame(chosen)
    frame.insert(0, "job", [run.short_id for run in chosen])
    frame["attempt"] = [run.attempt for run in chosen]
    frame["seconds"] = [round(result.seconds, 3) for result in results]
    frame["host"] = [result.provenance.get("host") for result in results]
    frame["stale"] = [run.stale for run in chosen]
    return pd.concat([frame, _metric_columns(results)], axis=1)


def _metric_columns(results: Sequence[Result]) -> pd.DataFrame:
    import pandas as pd

    heads = {each["head"] for result in results for each in result.metrics}
    rows = [{metric_column(each, len(heads) > 1): each["value"] for each in result.metrics} for result in results]
    return pd.DataFrame(rows, index=range(len(rows))).astype("float64")


def metric_column(each: Any, several_heads: bool) -> str:
    """Return the name of a metric's column: its split, its head where there are several, and the metric."""
    head = f"{each['head']}." if several_heads else ""
    return f"{each['split']}.{head}{each['metric']}"


def metrics(
    runs: Sequence[FinishedJob], by: Sequence[str] | None = None, where: Selection = None, plan: StudyPlan | None = None
) -> pd.DataFrame:
    """Return metrics in long form: job, stage, axes, split, head, metric, value.

    With ``by``, names of axes, the means over all other axes instead, as `metric_means` does, but never over versions
    of the code; ``over`` in its rows says which these were. ``where`` may also select ``split``, ``head`` and
    ``metric``.
    """
    if by is None:
        return metric_frame(runs, where)
    chosen, _ = select_runs(runs, where, ROWS)
    kept = [*find_axes(chosen, by), *CODE_AXES]
    return metric_means(runs, [axis for axis in axis_names(chosen) if axis not in kept], where, plan)


def predictions(
    runs: Sequence[FinishedJob], splits: Collection[str] | None = None, where: Selection = None
) -> pd.DataFrame:
    """Return every prediction: job, split, sample_id, target, head, logits, stage, axes; in the order of runs and rows.

    Logits that a head does not have are null. ``where`` may also select ``split`` and ``head``.
    """
    chosen, terms = select_runs(runs, where, ("split", "head"))
    with connect(chosen, _choose_splits(chosen, splits, terms)) as connection:
        found = connection.sql(_ALL_ROWS_SQL)
        integer_columns = [
            name for name, kind in zip(found.columns, found.types, strict=True) if str(kind) in _INTEGER_TYPES
        ]
        frame = found.df()
    # A column with nulls arrives as floats: seed 3 is not 3.0.
    frame = frame.astype({name: "Int64" for name in integer_columns if frame[name].dtype.kind == "f"})
    return select_rows(frame, [term for term in terms if term.key == "head"])


def _choose_splits(runs: Sequence[FinishedJob], splits: Collection[str] | None, terms: Sequence[Term]) -> set[str]:
    known = {each.split for each in split_files(runs, splits)}
    return {split for split in known if all(term.holds(split) for term in terms if term.key == "split")}
