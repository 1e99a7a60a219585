"""Tables of text on a terminal, drawn by rich: without lines, with names aligned left and numbers aligned right."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from seedfold.jobs.terminal_text import terminal_text
from seedfold.orchestrator.cli.console import output_width

_UNLIMITED = 100_000


def make_console(unlimited: bool = False) -> Console:
    """A console on standard output that prints text as it is: brackets in axis values are not read as markup.

    ``unlimited``: lines are as long as their table is wide, whatever the width of the terminal.
    """
    width = _UNLIMITED if unlimited else output_width()
    return Console(markup=False, highlight=False, emoji=False, width=width)


class TextTable(Table):
    """A table of texts that came from data."""

    def add_text_row(self, *cells: str) -> None:
        """Add a row."""
        self.add_row(*map(terminal_text, cells))


def plain_table(first: str, *columns: str) -> TextTable:
    """A table whose first column holds names and whose others hold numbers."""
    table = TextTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(terminal_text(first), no_wrap=True)
    for name in columns:
        table.add_column(terminal_text(name), justify="right", no_wrap=True)
    return table


def fits_terminal(table: Table) -> bool:
    """Whether a table's widest row fits the terminal."""
    out = make_console()
    return out.measure(table, options=out.options.update(width=_UNLIMITED)).maximum <= out.width
