"""Long output on a terminal, one screen at a time: by the program that PAGER names, else `less` or `more`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TextIO, TypeVar, cast

import click

from seedfold.orchestrator.cli.console import StyledLine, output_width, print_raw, to_ansi

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULT_HEIGHT = 24


def with_pager(function: F) -> F:
    """``--no-pager``, and a pager for what a command prints on a terminal if that is longer than the terminal."""
    option = click.option("--no-pager", is_flag=True, help="On a terminal: print long output without a pager.")

    @wraps(function)
    def run(*args: Any, no_pager: bool, **options: Any) -> Any:
        with _collected_output(not no_pager and not options.get("following") and _has_terminal()):
            return function(*args, **options)

    return cast("F", option(run))


def page_lines(lines: Iterable[StyledLine], at_end: bool = False) -> bool:
    """Print lines, with a pager if there is a terminal and they are more than fit on it.

    Return whether a pager showed them. ``at_end`` has `less` begin with the last of them.
    """
    return _page("".join(f"{to_ansi(line)}\n" for line in lines), at_end)


def _page(text: str, at_end: bool = False) -> bool:
    if not _has_terminal() or _count_rows(text) < _screen_height():
        print_raw(text)
        return False
    # Without -R less shows colours as text.
    os.environ.setdefault("LESS", "-R +G" if at_end else "-R")
    click.echo_via_pager(click.unstyle(text) if os.environ.get("NO_COLOR") else text)
    return True


@contextmanager
def _collected_output(wanted: bool) -> Iterator[None]:
    """Keep what is printed until all of it is known, and then show it."""
    if not wanted:
        yield
        return
    real, collected = sys.stdout, _Collected(sys.stdout)
    sys.stdout = collected
    try:
        yield
    finally:
        sys.stdout = real
        _page(collected.text())


class _Collected(io.TextIOWrapper):
    """What is printed, which looks to the printing code like the terminal that it is for."""

    def __init__(self, terminal: TextIO) -> None:
        self._bytes, self._terminal = io.BytesIO(), terminal
        super().__init__(self._bytes, encoding=terminal.encoding, errors=terminal.errors, write_through=True)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._terminal.fileno()

    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode(self.encoding, self.errors or "strict")


def _screen_height() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or _DEFAULT_HEIGHT
    except OSError:
        return _DEFAULT_HEIGHT


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("PAGER") not in ("", "cat")


def _count_rows(text: str) -> int:
    width = max(1, output_width())
    return sum(1 + max(0, len(line) - 1) // width for line in click.unstyle(text).splitlines())
