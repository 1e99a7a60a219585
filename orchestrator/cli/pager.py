"""Long output on a terminal, one screen at a time: by the program that PAGER names, else `less` or `more`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

from seedfold.orchestrator.cli.console import StyledLine, output_width, print_lines, to_ansi

_DEFAULT_HEIGHT = 24


def page_lines(lines: Iterable[StyledLine], wanted: bool = True, at_end: bool = False) -> bool:
    """Print lines; with a pager if it is ``wanted``, there is a terminal, and they are more than fit on it.

    Return whether a pager showed them. ``at_end`` has `less` begin with the last of them.
    """
    lines = list(lines)
    if not (wanted and _has_terminal() and _rows(lines) >= screen_height()):
        print_lines(lines)
        return False
    # Without -R less shows colours as text.
    os.environ.setdefault("LESS", "-R +G" if at_end else "-R")
    text = "\n".join(map(to_ansi, lines))
    click.echo_via_pager(click.unstyle(text) if os.environ.get("NO_COLOR") else text)
    return True


def screen_height() -> int:
    """The number of lines of the terminal."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or _DEFAULT_HEIGHT
    except OSError:
        return _DEFAULT_HEIGHT


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("PAGER") not in ("", "cat")


def _rows(lines: Iterable[StyledLine]) -> int:
    width = max(1, output_width())
    return sum(1 + max(0, len(line.text) - 1) // width for line in lines)
