"""``seedfold watch STUDY``: the status, updated until no job is active."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import StyledLine, make_lines, print_lines, to_ansi
from seedfold.orchestrator.cli.status import status_lines
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import JobView, Overview

_QUERY_EVERY_S = 15.0


@click.command()
@options.study
@click.option("--every", type=click.FloatRange(min=0.2), default=1.0, metavar="S", help="Seconds between two updates.")
@options.selection
@options.common
def command(
    study: str, every: float, where: Sequence[str], stages: Sequence[str], limit: int | None, root: Root
) -> None:
    """Show the status of a study and update it until no job is active. `q` or Ctrl-C ends the display, not the
    jobs.

    On a cluster it also submits the jobs that are due, as `seedfold advance` does.
    """
    overview = WatchedStudy(root, study, result_check="recent")
    selection = Selection.parse(where, stages, limit)
    try:
        if sys.stdout.isatty():
            _watch_live(overview, selection, every)
        else:
            _watch_plain(overview, selection, every)
    except KeyboardInterrupt:
        return


class WatchedStudy(Overview):
    """An overview that advances the study on a cluster from time to time."""

    _queried_at = -inf
    queue_view = QueueView()

    def refresh(self) -> None:
        """Read what is new; also query the scheduler if the last query was a while ago."""
        if time.monotonic() - self._queried_at > _QUERY_EVERY_S:
            self.queue_view = advance_and_view_queue(self.root, self.ledger)
            self._queried_at = time.monotonic()
        super().refresh()

    def is_finished(self, views: Sequence[JobView]) -> bool:
        """Whether no job is active; in a copy no job ever is."""
        return read_copy_origin(self.folder) is not None or not any(view.state in ACTIVE_STATES for view in views)

    def shown_lines(self, views: Sequence[JobView]) -> list[StyledLine]:
        """The status, and the last queue view."""
        return [*status_lines(self, views), *make_lines(*self.queue_view.lines(), style="yellow")]


def _watch_live(overview: WatchedStudy, selection: Selection, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    from seedfold.orchestrator.cli.grid import make_console

    overview.refresh()
    views = overview.job_views(selection)
    parts = overview.shown_lines(views)
    with _unbuffered_keys(), Live(Text(), console=make_console(), auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text.from_ansi("\n".join(map(to_ansi, parts))), refresh=True)
            if overview.is_finished(views) or _q_pressed(every):
                break
            overview.refresh()
            views = overview.job_views(selection)
            parts = overview.shown_lines(views)
    print_lines(parts)


def _watch_plain(overview: WatchedStudy, selection: Selection, every: float) -> None:
    """Print the status each time it changes."""
    shown: list[StyledLine] = []
    overview.refresh()
    while True:
        views = overview.job_views(selection)
        parts = overview.shown_lines(views)
        if shown != parts:
            print_lines(parts)
            sys.stdout.flush()
            shown = parts
        if overview.is_finished(views):
            return
        time.sleep(every)
        overview.refresh()


@contextmanager
def _unbuffered_keys() -> Iterator[None]:
    """Let keys arrive as soon as they are pressed, if there is a keyboard."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _q_pressed(seconds: float) -> bool:
    """Wait at most ``seconds`` for a key; return whether it was `q`."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1).lower() == "q"
