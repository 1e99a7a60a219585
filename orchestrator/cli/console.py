"""Output for people: lines, with colours only on a terminal and only if NO_COLOR is not set.

Everything that commands print goes through here, so that no text that came from data controls the terminal.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from seedfold.jobs.terminal_text import terminal_json, terminal_text

Style = Literal["", "bold", "dim", "reverse", "red", "yellow", "green", "cyan"]
_WIDTH_WITHOUT_TERMINAL = 10_000
_DEFAULT_WIDTH = 80


@dataclass(frozen=True)
class StyledLine:
    """A line of text. It is never broken here, so that paths can be copied; the terminal wraps it.

    ``parts``, if there are any, are the same text in several styles.
    """

    text: str
    style: Style = ""
    parts: tuple[StyledLine, ...] = ()

    @classmethod
    def joined(cls, *parts: StyledLine) -> StyledLine:
        """Put lines together to one."""
        return cls("".join(part.text for part in parts), parts=parts)


def output_width() -> int:
    """The number of columns: COLUMNS if it is set, else those of the terminal, else unlimited."""
    columns_text = os.environ.get("COLUMNS", "")
    if columns_text.isdigit() and int(columns_text):
        return int(columns_text)
    if not sys.stdout.isatty():
        return _WIDTH_WITHOUT_TERMINAL
    # Terminals without a window, such as those that `script` opens in a batch job, report 0.
    return os.get_terminal_size(sys.stdout.fileno()).columns or _DEFAULT_WIDTH


def can_draw() -> bool:
    """Whether standard output is a terminal on which lines can be drawn again."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def make_lines(*texts: str, style: Style = "") -> list[StyledLine]:
    """Return texts as lines of output."""
    return [StyledLine(text, style) for text in texts]


def print_lines(lines: Iterable[StyledLine]) -> None:
    """Print lines."""
    plain = False if os.environ.get("NO_COLOR") else None
    for part in lines:
        click.echo(to_ansi(part), color=plain)


def print_raw(text: str) -> None:
    """Print a text that has been made harmless already, with the codes of its styles."""
    click.echo(text, nl=False, color=False if os.environ.get("NO_COLOR") else None)


def to_ansi(line: StyledLine) -> str:
    """Return a line with the codes of its style, and no other codes."""
    if line.parts:
        return "".join(map(to_ansi, line.parts))
    text = terminal_text(line.text)
    if line.style in {"bold", "dim", "reverse"}:
        return click.style(text, **{line.style: True})
    return click.style(text, fg=line.style) if line.style else text


def wrap_lines(lines: Iterable[StyledLine], width: int) -> list[StyledLine]:
    """Break lines between words where they are wider than a terminal; a long word, such as a path, stays whole."""
    wrapped: list[StyledLine] = []
    for line in lines:
        if line.parts or len(line.text) <= width or len(line.text.split()) <= 2:
            wrapped.append(line)
            continue
        indent = line.text[: len(line.text) - len(line.text.lstrip())]
        texts = textwrap.wrap(
            line.text.strip(),
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        wrapped += make_lines(*texts, style=line.style)
    return wrapped


def print_text(*texts: str, style: Style = "") -> None:
    """Print lines."""
    print_lines(make_lines(*texts, style=style))


def print_note(text: str, prefix: str = "seedfold: ") -> None:
    """Print a line on standard error: an error, or what is to be known beside the output."""
    print(f"{prefix}{terminal_text(text)}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON value for scripts."""
    print(terminal_json(json.dumps(value, ensure_ascii=False, indent=1)))


def print_json_lines(values: Iterable[Any]) -> None:
    """Print each JSON value as one line for scripts."""
    for value in values:
        print(terminal_json(json.dumps(value, ensure_ascii=False)))


def print_bytes(data: bytes) -> None:
    """Print a table for programs as it is; on a terminal without control characters."""
    sys.stdout.flush()
    if sys.stdout.isatty():
        data = terminal_text(data.decode()).encode()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def nonzero_columns(rows: Iterable[Mapping[str, int]], names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not zero in all rows."""
    rows = list(rows)
    return [name for name in names if any(row.get(name) for row in rows)]


def counts_text(counts: Mapping[str, int], names: Iterable[str]) -> str:
    """Counts in words: ``20 done, 4 failed``; zeros are left out."""
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name)) or "none"


def counts_table(title: str, rows: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> list[StyledLine]:
    """Counts in columns, with blanks for zeros; if that is too wide for the terminal, one line per row in words."""
    cells = [
        [title, *names],
        *([row, *(str(counts.get(name) or "") for name in names)] for row, counts in rows.items()),
    ]
    texts = align_rows(cells, right=range(1, len(names) + 1))
    if max(map(len, texts)) > output_width():
        return make_lines(*(f"{row}: {counts_text(counts, names)}" for row, counts in rows.items()))
    return [*make_lines(texts[0], style="dim"), *make_lines(*texts[1:])]


def align_rows(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Return rows of cells as lines with columns; those whose numbers are in ``right`` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(size) if column in right else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration_text(seconds: float) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size_text(size: float) -> str:
    """A size for people, 1 GB = 1024³ bytes: ``3.2 GB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
