"""What people see: tables that fit the terminal, colours only on one, whole lines elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Part = Text | Table
"""A line of text or a table: what output is made of."""

STATE_STYLES = {
    "done": "green",
    "running": "cyan",
    "submitted": "cyan",
    "failed": "red",
    "lost": "red",
    "blocked": "yellow",
    "cancelled": "yellow",
    "stale": "yellow",
    "new": "bold",
}
_WIDTH_WITHOUT_TERMINAL = 10_000


def width() -> int:
    """Columns to print for: COLUMNS where it is set, else the terminal's, else any number."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, 24)).columns


def console() -> Console:
    """A console on standard output that takes text as it is: brackets in axis values are no markup."""
    return Console(markup=False, highlight=False, emoji=False, width=width())


def fits(table: Table) -> bool:
    """Whether a table's widest row fits the terminal."""
    out = console()
    return out.measure(table, options=out.options.update(width=_WIDTH_WITHOUT_TERMINAL)).maximum <= out.width


def lines(*texts: str, style: str = "") -> list[Part]:
    """Return texts as lines of output."""
    return [Text(text, style) for text in texts]


def show(parts: Iterable[Part]) -> None:
    """Print parts. The terminal wraps lines, so that a path stays in one piece; tables fit themselves."""
    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text))


def say(*texts: str, style: str = "") -> None:
    """Print lines."""
    show(lines(*texts, style=style))


def print_json(value: Any) -> None:
    """Print one JSON value for scripts."""
    print(json.dumps(value, ensure_ascii=False, indent=1))


def columns_with_counts(rows: Iterable[Mapping[str, int]], names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not zero in all rows."""
    rows = list(rows)
    return [name for name in names if any(row.get(name) for row in rows)]


def counts_table(title: str, rows: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Table:
    """One row per key of ``rows``, one column per name; what is zero is left blank."""
    table = plain_table(title, *names)
    for row, counts in rows.items():
        table.add_row(row, *[str(counts.get(name) or "") for name in names])
    return table


def plain_table(title: str, *columns: str) -> Table:
    """A table without lines: the first column holds names, the others numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", style=STATE_STYLES.get(name), overflow="fold")
    return table


def counts_text(counts: Mapping[str, int], names: Iterable[str]) -> str:
    """Counts in words: ``20 done, 4 failed``; what is zero is left out."""
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name)) or "none"


def counts_parts(title: str, rows: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> list[Part]:
    """Counts as a table, or, where it is too wide for the terminal, one line per row in words."""
    table = counts_table(title, rows, names)
    if fits(table):
        return [table]
    return lines(*(f"{row}: {counts_text(counts, names)}" for row, counts in rows.items()))


def hours_text(seconds: float) -> str:
    """A duration as people say it: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def bytes_text(size: float) -> str:
    """A size as people say it, 1 GB = 1024³ bytes: ``3.2 GB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
