"""Tables of results on a terminal: metrics side by side, as many as fit into its width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.cli.grid import fits_terminal, make_console, plain_table
from seedfold.results.tables.readable import DECIMALS, Measured, ReadableTable, exact_text

_ROWS_SHOWN = 60
_BEST = " ★"


def print_table(
    table: ReadableTable, limit: int | None = None, decimals: int = DECIMALS, all_columns: bool = False
) -> None:
    """Print a table for people. Columns that do not fit the terminal are left out, unless ``all_columns``."""
    rows = table.head(limit or _ROWS_SHOWN)
    shown = rows if all_columns else _leave_out_to_fit(rows, table.columns_to_leave_out(), decimals)
    if shown is None:
        _print_blocks(rows, decimals)
    else:
        make_console(all_columns).print(_to_grid(shown, decimals))
    if len(rows.frame) < len(table.frame):
        more = count_noun(len(table.frame) - len(rows.frame), "more row")
        print_text(f"… and {more}: --limit N, {_sort_hint(table)}or --format csv for all", style="dim")
    hidden = [_hidden_text(table, name) for name in table.columns if shown is not None and name not in shown.columns]
    if hidden:
        print_text(f"not shown: {', '.join(hidden)}; --wide or --format csv shows all", style="dim")


def _sort_hint(table: ReadableTable) -> str:
    """How the best rows come first, if the table has a metric with a best value and its rows are not sorted so."""
    first_best = {
        name: next((row for row, cell in enumerate(table.frame[name]) if cell.is_best), None) for name in table.measured
    }
    hidden = [name for name, row in first_best.items() if row is not None]
    return f"--sort {hidden[0]} for the best first, " if hidden and 0 not in first_best.values() else ""


def _hidden_text(table: ReadableTable, name: str) -> str:
    """The name of a column, with its value if that is the same in every row."""
    value = table.constant_value(name)
    return name if value is None or exact_text(value) == "" else f"{name}={exact_text(value)}"


def _leave_out_to_fit(table: ReadableTable, leaving: Sequence[str], decimals: int) -> ReadableTable | None:
    """Leave out the columns ``leaving``, in their order, until a table fits the terminal; None if it never does."""
    for name in (None, *leaving):
        table = table.keep([column for column in table.columns if column != name])
        if fits_terminal(_to_grid(table, decimals)):
            return table
    return None


def _print_blocks(table: ReadableTable, decimals: int) -> None:
    """One block for each row, for terminals too narrow for a table: the axes, then one line for each metric."""
    columns = [(name, _cell_texts(table, name, decimals)) for name in table.columns]
    for row in range(len(table.frame)):
        places = [f"{name}={texts[row]}" for name, texts in columns if name not in table.measured]
        print_text(" ".join(places), style="bold")
        print_text(*(f"  {name} {texts[row].rstrip()}" for name, texts in columns if name in table.measured))


def _to_grid(table: ReadableTable, decimals: int) -> Table:
    grid = plain_table(*table.columns)
    for row in zip(*(_cell_texts(table, name, decimals) for name in table.columns), strict=True):
        grid.add_text_row(*row)
    return grid


def _cell_texts(table: ReadableTable, name: str, decimals: int) -> list[str]:
    cells: Sequence[Any] = list(table.frame[name])
    if name not in table.measured:
        return [exact_text(cell) for cell in cells]
    texts = [_number_text(cell, decimals) for cell in cells]
    if not any(cell.is_best for cell in cells):
        return texts
    return [text + (_BEST if cell.is_best else " " * len(_BEST)) for text, cell in zip(texts, cells, strict=True)]


def _number_text(cell: Measured, decimals: int) -> str:
    value, sd, count = cell.texts(decimals)
    return value + (f" ± {sd}" if sd else "") + (f" ({count})" if count else "")
