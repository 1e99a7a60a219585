"""Tables of runs, metrics and predictions as DataFrames; everything that `seedfold results` prints.

A metric that is undefined is null. Standard deviations are of the sample (n - 1). Out-of-fold tables, ensembles,
curves and export are re-exported from their modules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seedfold.jobs.conditions import Term
from seedfold.results.ensembles.mean_ensemble import ensemble, ensemble_metrics
from seedfold.results.evaluation.axes import (
    Selection,
    address_frame,
    axis_names,
    find_axes,
    last_component,
    select_rows,
    select_runs,
)
from seedfold.results.evaluation.curves import curves
from seedfold.results.evaluation.out_of_fold import oof, oof_metrics
from seedfold.results.evaluation.query import connect, query, split_files
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import Result, load_result
from seedfold.results.tables.export import export

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
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

_ROW_COLUMNS = ("split", "head", "metric")
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
    rows = [{_metric_column(each, len(heads) > 1): each["value"] for each in result.metrics} for result in results]
    return pd.DataFrame(rows, index=range(len(rows))).astype("float64")


def _metric_column(each: Any, several_heads: bool) -> str:
    head = f"{each['head']}." if several_heads else ""
    return f"{each['split']}.{head}{each['metric']}"


def metrics(runs: Sequence[FinishedJob], by: Sequence[str] | None = None, where: Selection = None) -> pd.DataFrame:
    """Return metrics in long form: job, stage, axes, split, head, metric, value.

    With ``by``, names of axes, the means over all other axes instead, as `metric_means` does; ``over`` in its rows
    says which these were. ``where`` may also select ``split``, ``head`` and ``metric``.
    """
    if by is None:
        return _long_table(runs, where)
    chosen, _ = select_runs(runs, where, _ROW_COLUMNS)
    kept = find_axes(chosen, by)
    return metric_means(runs, over=[axis for axis in axis_names(chosen) if axis not in kept], where=where)


def _long_table(runs: Sequence[FinishedJob], where: Selection) -> pd.DataFrame:
    import pandas as pd

    chosen, terms = select_runs(runs, where, _ROW_COLUMNS)
    metrics = [load_result(run.folder).metrics for run in chosen]
    counts = [len(each) for each in metrics]
    frame = address_frame(chosen)
    frame.insert(0, "job", [run.short_id for run in chosen])
    frame = frame.loc[frame.index.repeat(counts)].reset_index(drop=True)
    for name in (*_ROW_COLUMNS, "value"):
        frame[name] = pd.Series(
            [each[name] for records in metrics for each in records],  # type: ignore[literal-required]
            dtype="float64" if name == "value" else "str",
        )
    return select_rows(frame, terms)


def averaged_axes(runs: Iterable[FinishedJob]) -> list[str]:
    """Return the axes that a mean runs over unless told otherwise: folds, and those whose name ends in ``seed``."""
    return [axis for axis in axis_names(runs) if axis.endswith("seed") or last_component(axis) == "fold"]


def metric_means(
    runs: Sequence[FinishedJob], over: Sequence[str] | None = None, where: Selection = None
) -> pd.DataFrame:
    """Return mean, standard deviation and 95 % confidence interval of metrics over axes, grouped by all others.

    ``over`` defaults to `averaged_axes`. ``n`` counts the defined values, ``undefined`` the others. The interval is
    mean ± t(0.975, n - 1)·sd/√n; it takes the values as independent, which folds are not quite, since they share
    training data. ``sd`` and interval are null for n < 2.
    """
    long = _long_table(runs, where)
    axes = [name for name in axis_names(runs) if name in long.columns]
    averaged = averaged_axes(runs) if over is None else find_axes(runs, over)
    averaged = [axis for axis in axes if axis in averaged]
    keys = ["stage", *(axis for axis in axes if axis not in averaged), *_ROW_COLUMNS]
    grouped = long.groupby(keys, dropna=False, sort=False)["value"]
    frame = grouped.agg(mean="mean", sd="std", n="count", rows="size").reset_index()
    half = _half_width(frame["sd"], frame["n"])
    frame["ci_low"], frame["ci_high"] = frame["mean"] - half, frame["mean"] + half
    frame["undefined"] = frame.pop("rows") - frame["n"]
    frame["over"] = ", ".join(averaged)
    return frame


def _half_width(sd: pd.Series[Any], n: pd.Series[Any]) -> pd.Series[Any]:
    from scipy.stats import t

    degrees_of_freedom = (n - 1).where(n > 1)
    return sd.mul(t.ppf(0.975, degrees_of_freedom.astype("float64"))).div(n**0.5)


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
