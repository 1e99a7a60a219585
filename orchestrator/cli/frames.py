"""Tables of results on a terminal: metrics side by side, as many as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.grid import fits_terminal, make_console, plain_table

_ROWS_SHOWN = 60
_LEADING_METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss", "rmse", "mae", "r2")


def print_frame(frame: pd.DataFrame, limit: int | None = None) -> None:
    """Print a table: means and single metrics one column each, otherwise as it is."""
    frame_shown = _shorten_names(_metrics_as_columns(frame) if "metric" in frame.columns else frame)
    rows = frame_shown.head(limit or _ROWS_SHOWN)
    fitting_frame = _drop_columns_to_fit(rows)
    if "metric" in frame.columns and not _has_a_metric(fitting_frame, frame):
        _print_blocks(rows, set(frame["metric"]))
        fitting_frame = rows
    else:
        make_console().print(_to_table(fitting_frame))
    hidden = [str(name) for name in frame_shown.columns if name not in fitting_frame.columns]
    if len(rows) < len(frame_shown):
        print_text(
            f"… and {count_noun(len(frame_shown) - len(rows), 'more row')}: --limit N, or --format csv for all",
            style="dim",
        )
    if hidden:
        print_text(f"not shown: {', '.join(hidden)}; --format csv has all", style="dim")


def _shorten_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Name axes by their last component where no other column ends so; ``--where`` takes them like that, too."""
    last = [str(name).split(".")[-1] for name in frame.columns]
    return frame.set_axis(
        [short if last.count(short) == 1 else name for short, name in zip(last, frame.columns, strict=True)], axis=1
    )


def _has_a_metric(shown: pd.DataFrame, frame: pd.DataFrame) -> bool:
    return any((frame["metric"] == name).any() for name in shown.columns)


def _print_blocks(frame: pd.DataFrame, metrics: set[str]) -> None:
    """One block a row, for terminals too narrow for a table: what it is of, then a metric a line."""
    for row in frame.to_dict("records"):
        texts = dict(zip(map(str, row), _cell_texts(list(row.values())), strict=True))
        print_text(" ".join(f"{name}={text}" for name, text in texts.items() if name not in metrics), style="bold")
        for name, text in texts.items():
            if name in metrics:
                print_text(f"  {name} {text}")


def _metrics_as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per group and split, one column per metric."""
    frame = frame.assign(cell=[_cell(row) for row in frame.to_dict("records")])
    numbers = {"metric", "cell", "mean", "sd", "ci_low", "ci_high", "value", "undefined", "over"}
    keys = [name for name in frame.columns if name not in numbers and not _is_constant(frame, str(name))]
    order = [*_LEADING_METRICS, *dict.fromkeys(frame["metric"])]
    metrics = [name for name in dict.fromkeys(order) if (frame["metric"] == name).any()]
    if not keys:
        return frame.set_index("metric")["cell"].reindex(metrics).to_frame().T.reset_index(drop=True)
    groups = frame[keys].astype(object).where(frame[keys].notna(), None).apply(tuple, axis=1)
    rows: dict[Any, dict[str, Any]] = {}
    for key, metric, cell in zip(groups, frame["metric"], frame["cell"], strict=True):
        rows.setdefault(key, dict(zip(keys, key, strict=True)))[metric] = cell
    return pd.DataFrame(list(rows.values()), columns=[*keys, *metrics])


def _is_constant(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column says nothing: the same stage or head everywhere."""
    return name in {"stage", "head", "group"} and frame[name].nunique(dropna=False) == 1


def _cell(row: Mapping[Any, Any]) -> str:
    mean = row["mean"] if "mean" in row else row["value"]
    if pd.isna(mean):
        return "-"
    spread = row.get("sd")
    return f"{mean:.4f}" if spread is None or pd.isna(spread) else f"{mean:.4f} ± {spread:.4f}"


def _drop_columns_to_fit(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out last columns until the table fits the terminal."""
    while len(frame.columns) > 1 and not fits_terminal(_to_table(frame)):
        frame = frame.iloc[:, :-1]
    return frame


def _to_table(frame: pd.DataFrame) -> Table:
    table = plain_table(*map(str, frame.columns))
    for row in frame.itertuples(index=False):
        table.add_row(*_cell_texts(row))
    return table


def _cell_texts(values: Sequence[Any]) -> list[str]:
    return ["-" if _is_null(value) else f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]


def _is_null(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
