"""How a command writes a table: for people on a terminal, for papers and web pages, or with every row for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, TypeVar, cast

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_bytes, print_note, print_text
from seedfold.results.store.named_output import is_stream, open_output, refuse_folder

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.tables.export import Format
    from seedfold.results.tables.markup import Markup
    from seedfold.results.tables.readable import ReadableTable

F = TypeVar("F", bound=Callable[..., Any])
_FORMATS = ("csv", "json", "parquet")
_MARKUPS = ("latex", "markdown", "html")
_ENDINGS = {"tex": "latex", "md": "markdown", "html": "html", "htm": "html"} | {name: name for name in _FORMATS}


class OutputOptions(TypedDict):
    """The options of the command line."""

    format: str | None
    out: str | None
    decimals: int | None
    wide: bool
    limit: NotRequired[int | None]


def output_options(function: F) -> F:
    """``--format``, ``--out``, ``--round`` and ``--wide``: how a table is written."""
    format = click.option(
        "--format",
        "format",
        type=options.Choice((*_FORMATS, *_MARKUPS)),
        help="csv, json, parquet: every row, for other programs. latex, markdown,"
        " html: the table as on the terminal, for papers.",
    )
    out = click.option("--out", metavar="FILE", help="Write to a file; its ending decides the format.")
    decimals = click.option(
        "--round",
        "decimals",
        type=click.IntRange(0, 15),
        metavar="N",
        help="Number of decimals of metrics and other measured numbers; default:"
        " 4, and all of them for other programs.",
    )
    wide = click.option("--wide", is_flag=True, help="Print every column, even if the table does not fit the terminal.")
    return format(out(decimals(wide(function))))


@dataclass(frozen=True)
class TableOutput:
    """Where and how a table is written."""

    options: OutputOptions
    format: str | None

    @classmethod
    def from_options(cls, given: OutputOptions) -> TableOutput:
        """Find the format. Raises UsageError if the ending names none, and for options that cannot be used together."""
        format = _find_format(given["format"], given["out"])
        if given["wide"] and format is not None:
            raise UsageError(f"--wide: use it only for the table on the terminal; {format} has every column")
        return cls(given, format)

    @property
    def is_for_programs(self) -> bool:
        """Whether every row is written, and not the means and metrics that people read."""
        return self.format in _FORMATS

    @property
    def is_on_terminal(self) -> bool:
        """Whether the table is printed for people on a terminal."""
        return self.format is None

    def write(
        self,
        frame: pd.DataFrame,
        exact: Collection[str] = (),
        problem: Sequence[str] = (),
        notes: Sequence[str] = (),
        sort: str | None = None,
    ) -> None:
        """Write a table, and ``notes`` on what it lacks: below it, or on standard error if it is not for a terminal.

        ``exact`` names columns of real numbers that are no measurements and are never rounded, such as axes; the best
        values are marked among the rows that agree on the axes ``problem``. ``sort`` names a column of the table that
        people read. Raises UsageError if there is no such column, or if every row is written.
        """
        from seedfold.results.tables.readable import DECIMALS, make_readable, round_measured

        limit, decimals = self.options.get("limit"), self.options["decimals"]
        if self.is_for_programs:
            if sort is not None:
                raise UsageError(f"--sort: is for the table that people read; {self.format} has every row of its own")
            rows = frame.head(limit) if limit else frame
            self._write_rows(rows if decimals is None else round_measured(rows, decimals, exact))
        else:
            table, shown_decimals = make_readable(frame, exact, problem), DECIMALS if decimals is None else decimals
            table = table if sort is None else table.sort(sort)
            if self.is_on_terminal:
                from seedfold.orchestrator.cli.frames import print_table

                print_table(table, limit, shown_decimals, self.options["wide"])
                print_text(*notes, style="yellow")
                return
            self._write_markup(table)
        _print_notes(notes)

    def write_marked_up(self, table: ReadableTable, notes: Sequence[str] = ()) -> None:
        """Write a table for papers and pages as it is, and ``notes`` on standard error."""
        self._write_markup(table)
        _print_notes(notes)

    def _write_markup(self, table: ReadableTable) -> None:
        from seedfold.results.tables.markup import to_markup
        from seedfold.results.tables.readable import DECIMALS

        decimals = self.options["decimals"]
        shown = table.head(self.options.get("limit"))
        text = to_markup(shown, cast("Markup", self.format), DECIMALS if decimals is None else decimals)
        self._write_bytes(text.encode(), len(shown.frame))

    def _write_rows(self, frame: pd.DataFrame) -> None:
        from seedfold.results.tables.export import export

        out = self.options["out"]
        written = export(frame, cast("Format", self.format), Path(out) if out else None)
        if written is not None:
            print_bytes(written)
        elif out:
            _print_written(len(frame), out)

    def _write_bytes(self, text: bytes, rows: int) -> None:
        if self.options["out"] is None:
            print_bytes(text)
            return
        with open_output(Path(self.options["out"])) as file:
            file.write(text)
        _print_written(rows, self.options["out"])


def _print_written(rows: int, out: str) -> None:
    """Say what was written; on standard error if the output itself may be on its way to standard output."""
    text = f"wrote {count_noun(rows, 'row')} to {out}"
    if is_stream(Path(out)):
        _print_notes([text])
    else:
        print_text(text)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print_note(note)


def _find_format(format: str | None, out: str | None) -> str | None:
    if out is not None:
        refuse_folder("--out", Path(out))
    if out is None and format == "parquet" and sys.stdout.isatty():
        raise UsageError("--format parquet: is not for a terminal; add --out FILE")
    if out is None or format is not None:
        return format
    ending = Path(out).suffix.removeprefix(".")
    if ending not in _ENDINGS:
        known = ", ".join(sorted(_ENDINGS))
        raise UsageError(f"--out {out}: its ending names no format ({known}); add --format")
    return _ENDINGS[ending]
