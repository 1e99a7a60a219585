"""Tables as people read them: metrics side by side, means with their spread, the best of each metric marked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.evaluation.axes import last_component
from seedfold.results.evaluation.metric_names import column_name, is_name_of
from seedfold.results.tables.best_values import find_best, lower_is_better

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 4
"""Decimals of metrics, unless the caller gives another number."""
LEADING_METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss", "rmse", "mae", "r2")
"""Metrics that stand first. If a table is too wide, they are the last to be left out."""
RECORDS = ("host", "seconds", "attempt", "stale")
"""Columns of `runs` that say how a job ran, and not what its result is."""
_METRIC_COLUMNS = ("metric", "mean", "sd", "ci_low", "ci_high", "value", "undefined", "over", "n", "expected")
MISSING = "-"


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured number, None if it is undefined; ``sd`` is the standard deviation of the values that it is a mean of.

    If values are missing, ``count`` says how many of the expected values there are: ``5 of 6``.
    """

    value: float | None
    sd: float | None = None
    count: str = ""
    is_best: bool = False

    def texts(self, decimals: int = DECIMALS) -> tuple[str, str, str]:
        """Return value, standard deviation and count as text: `MISSING` where undefined, empty where there is none."""
        value = MISSING if self.value is None else f"{self.value:.{decimals}f}"
        return value, "" if self.sd is None else f"{self.sd:.{decimals}f}", self.count


@dataclass(frozen=True, slots=True)
class ReadableTable:
    """A table whose ``measured`` columns hold `Measured` cells, the others texts and numbers that are shown exactly."""

    frame: pd.DataFrame
    measured: tuple[str, ...]

    def head(self, rows: int | None) -> ReadableTable:
        """Return the first rows; None for all."""
        return self if rows is None else replace(self, frame=self.frame.head(rows))

    def sort(self, name: str) -> ReadableTable:
        """Return the rows sorted by a column, the best of a metric first; empty cells come last.

        If the name of a metric does not tell what is better, its largest value comes first. The metric of one split,
        such as ``val.accuracy``, has no value in rows of others. Raises UsageError for an unknown column.
        """
        column, cells = self._named_cells(name)
        lower = column not in self.measured or bool(lower_is_better(column.split(".")[-1]))
        keys = [_sort_key(cell, lower) for cell in cells]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return replace(self, frame=self.frame.iloc[order].reset_index(drop=True))

    def _named_cells(self, name: str) -> tuple[str, list[Any]]:
        """Return the column that a name means, and its cells: None in rows that the name does not mean."""
        for column in self.columns:
            if name in (column, column.replace(".", "/")):
                return column, list(self.frame[column])
        for column in self.measured:
            named = [
                is_name_of(name, column, row.get("split"), row.get("head")) for row in self.frame.to_dict("records")
            ]
            if any(named):
                return column, [
                    cell if is_meant else None for cell, is_meant in zip(self.frame[column], named, strict=True)
                ]
        near, known = did_you_mean(name, self.columns), ", ".join(self.columns)
        raise UsageError(f"--sort {name}: the table has no such column{near}; columns: {known}")

    def keep(self, columns: Sequence[str]) -> ReadableTable:
        """Return the table with these columns only."""
        return ReadableTable(self.frame[list(columns)], tuple(name for name in self.measured if name in columns))

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(map(str, self.frame.columns))

    def columns_to_leave_out(self) -> list[str]:
        """Return columns in the order in which they leave a table that is too wide.

        First what says how jobs were done, then what is the same in every row, then metrics from the least important
        on, all but one, and the job where other columns tell rows apart. Where nothing is measured, the last columns.
        """
        records = [name for name in RECORDS if name in self.columns]
        others = [name for name in self.columns if name not in (*records, *self.measured)]
        constant = [name for name in others if self._is_constant(name)]
        differing = [name for name in others if name not in constant]
        leaving = [*records, *constant, *self._metrics_by_importance()[:0:-1]]
        if not self.measured:
            return [*leaving, *differing[:0:-1]]
        return [*leaving, *(["job"] if "job" in differing[:1] and len(differing) > 1 else [])]

    def constant_value(self, name: str) -> Any:
        """Return the value that a column has in every row, None where it differs or is measured."""
        return self.frame[name].iloc[0] if name not in self.measured and self._is_constant(name) else None

    def _is_constant(self, name: str) -> bool:
        return len(self.frame) > 0 and self.frame[name].map(str).nunique() == 1

    def _metrics_by_importance(self) -> list[str]:
        return sorted(self.measured, key=lambda name: _importance(name.split(".")[-1]))


def _sort_key(cell: Any, lower: bool) -> tuple[int, float, str]:
    """Numbers before texts, empty cells last; ``lower`` has small numbers first."""
    value = cell.value if isinstance(cell, Measured) else _defined(cell)
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float):
        return 0, float(value) if lower else -float(value), ""
    return 1, 0.0, str(value)


def _importance(metric: str) -> int:
    return LEADING_METRICS.index(metric) if metric in LEADING_METRICS else len(LEADING_METRICS)


def make_readable(frame: pd.DataFrame, exact: Collection[str] = (), problem: Sequence[str] = ()) -> ReadableTable:
    """Return a table to read of one of the tables of `result_tables`.

    ``exact`` names columns of real numbers that are no measurements, such as axes. Of tables with one row per metric,
    the best values are marked among the rows that agree on the axes ``problem``.
    """
    if "metric" in frame.columns:
        table = _metrics_side_by_side(frame, problem)
    else:
        measured = [str(name) for name in _real_columns(frame) if name not in (*exact, *RECORDS)]
        shown = frame.astype(object)
        for name in measured:
            shown[name] = _objects([Measured(_defined(value)) for value in frame[name]], frame.index)
        table = ReadableTable(shown, tuple(measured))
    return _with_short_names(table)


def _objects(values: Sequence[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(values, index=index, dtype=object)


def round_measured(frame: pd.DataFrame, decimals: int, exact: Collection[str] = ()) -> pd.DataFrame:
    """Return a table with its measured numbers rounded; axes and other ``exact`` columns keep every digit."""
    return frame.round({name: decimals for name in _real_columns(frame) if name not in exact})


def _real_columns(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns if getattr(frame[name].dtype, "kind", "") == "f"]


def _metrics_side_by_side(frame: pd.DataFrame, problem: Sequence[str]) -> ReadableTable:
    """One row per group and split, one column per metric; where no two splits share a metric, one row per group."""
    import pandas as pd

    keys = [str(name) for name in frame.columns if name not in _METRIC_COLUMNS and not _says_nothing(frame, str(name))]
    is_best = find_best(frame, [name for name in keys if name in ("stage", "split", "head", *problem)])
    if _shares_no_metric_between_splits(frame):
        names = [column_name(*each) for each in zip(frame["split"], frame["metric"], strict=True)]
        frame, keys = frame.assign(metric=names), [name for name in keys if name != "split"]
    metrics = sorted(dict.fromkeys(frame["metric"]), key=lambda name: _importance(name.split(".")[-1]))
    rows: dict[Any, dict[str, Any]] = {}
    for record, best in zip(frame.to_dict("records"), is_best, strict=True):
        key = tuple(None if _defined(record[name]) is None else record[name] for name in keys)
        row = rows.setdefault(key, dict(zip(keys, key, strict=True)))
        row[str(record["metric"])] = _measured(record, bool(best))
        if "n" in record and "mean" in record:
            row["n"] = max(row.get("n", 0), int(record.get("expected", record["n"])))
    counts = ["n"] if {"n", "mean"} <= set(frame.columns) else []
    shown = pd.DataFrame(list(rows.values()), columns=[*keys, *counts, *metrics], dtype=object)
    for name in metrics:
        cells = [cell if isinstance(cell, Measured) else Measured(None) for cell in shown[name]]
        shown[name] = _objects(cells, shown.index)
    return ReadableTable(shown, tuple(metrics))


def _shares_no_metric_between_splits(frame: pd.DataFrame) -> bool:
    """Whether a row for each split would have no value in any column of the others."""
    if "split" not in frame.columns or frame["split"].nunique() < 2:
        return False
    return not (frame.groupby("metric")["split"].nunique() > 1).any()


def _says_nothing(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column has the same stage or head in every row."""
    return name in {"stage", "head", "group"} and frame[name].nunique(dropna=False) == 1


def _measured(record: Mapping[Any, Any], is_best: bool) -> Measured:
    value = _defined(record["mean"] if "mean" in record else record["value"])
    n = record.get("n")
    expected = record.get("expected", None if n is None else n + record.get("undefined", 0))
    count = "" if n is None or n == expected else f"{n} of {expected}"
    return Measured(value, _defined(record.get("sd")), count, is_best)


def exact_text(value: Any) -> str:
    """Return a cell that is not a measurement as text: numbers without needless digits, a dash for an empty cell."""
    if _defined(value) is None:
        return MISSING
    return f"{value:.12g}" if isinstance(value, float) else " ".join(str(value).split())


def _defined(value: Any) -> Any:
    """The value, None for every kind of null."""
    import pandas as pd

    return None if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)) else value


def _with_short_names(table: ReadableTable) -> ReadableTable:
    """Name axes by their last component where no other column ends so; ``--where`` takes them like that, too."""
    last = [name if name in table.measured else last_component(name) for name in table.columns]
    names = [short if last.count(short) == 1 else name for short, name in zip(last, table.columns, strict=True)]
    return ReadableTable(table.frame.set_axis(names, axis=1), table.measured)
