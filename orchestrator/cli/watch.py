"""``seedfold watch [STUDY]``: the status, updated until no job is active."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Protocol

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import StyledLine, counts_text, make_lines, print_lines, to_ansi
from seedfold.orchestrator.cli.ls import study_lines
from seedfold.orchestrator.cli.status import status_lines
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, STATES
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.orchestrator.state.study_list import StudySummary, list_studies

_QUERY_EVERY_S = 15.0
_REST_PER_LOOK = 10.0


class Watched(Protocol):
    """What is shown and updated: a study, or all studies of a root."""

    def refresh(self) -> None:
        """Read what is new."""

    def shown_lines(self) -> list[StyledLine]:
        """Return what is to be shown."""

    def lasting_lines(self) -> list[StyledLine]:
        """Return the part of it that does not change all the time: where there is no terminal, the rest is noise."""

    def is_finished(self) -> bool:
        """Whether no job is active."""


@click.command()
@options.study_or_all
@click.option("--every", type=click.FloatRange(min=0.2), default=1.0, metavar="S", help="Seconds between two updates.")
@options.selection
@options.common
@click.pass_context
def command(
    context: click.Context,
    study: str | None,
    every: float,
    where: Sequence[str],
    stages: Sequence[str],
    limit: int | None,
    root: Root,
) -> None:
    """Show the status of a study and update it until no job is active. `q` or Ctrl-C ends the display, not the
    jobs. Without a study, show the list of studies, and update that.

    On a cluster it also submits the jobs that are due, as `seedfold advance` does.
    """
    watched: Watched
    if study is None:
        options.refuse_without_study(context)
        watched = WatchedRoot(root)
    else:
        watched = WatchedStudy(root, study, Selection.parse(where, stages, limit))
    try:
        watched.refresh()
        (_watch_live if sys.stdout.isatty() else _watch_plain)(watched, every)
    except KeyboardInterrupt:
        return


class WatchedRoot:
    """The list of the studies of a root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._studies: list[StudySummary] = []
        self._next_look_at = -inf

    def refresh(self) -> None:
        """Read what is new; not more often than so that most of the time nothing is read: sizes take long to add up."""
        began = time.monotonic()
        if began < self._next_look_at:
            return
        self._studies = list(list_studies(self._root))
        now = time.monotonic()
        self._next_look_at = now + _REST_PER_LOOK * (now - began)

    def shown_lines(self) -> list[StyledLine]:
        """Return the list."""
        return study_lines(self._root, self._studies)

    def lasting_lines(self) -> list[StyledLine]:
        """Return the number of jobs of each study by state."""
        readable = [study for study in self._studies if study.states is not None]
        return make_lines(*(f"{study.study}: {counts_text(study.states or {}, STATES)}" for study in readable))

    def is_finished(self) -> bool:
        """Whether no job of any study is active."""
        return not any(study.is_active for study in self._studies)


class WatchedStudy:
    """The status of a study, which is advanced on a cluster from time to time."""

    def __init__(self, root: Root, study: str, selection: Selection) -> None:
        self._overview = Overview(root, study, result_check="recent")
        self._selection = selection
        self._queried_at = -inf
        self._queue_view = QueueView()
        self._views: list[JobView] = []

    def refresh(self) -> None:
        """Read what is new; also query the scheduler if the last query was a while ago."""
        if time.monotonic() - self._queried_at > _QUERY_EVERY_S:
            self._queue_view = advance_and_view_queue(self._overview.root, self._overview.ledger)
            self._queried_at = time.monotonic()
        self._overview.refresh()
        self._views = self._overview.job_views(self._selection)

    def shown_lines(self) -> list[StyledLine]:
        """Return the status, and the last queue view."""
        return [*status_lines(self._overview, self._views), *self._queue_lines()]

    def lasting_lines(self) -> list[StyledLine]:
        """Return the same without what the running jobs are doing."""
        return [*status_lines(self._overview, self._views, with_progress=False), *self._queue_lines()]

    def _queue_lines(self) -> list[StyledLine]:
        return make_lines(*self._queue_view.lines(), style="yellow")

    def is_finished(self) -> bool:
        """Whether no job is active; in a copy no job ever is."""
        is_copy = read_copy_origin(self._overview.folder) is not None
        return is_copy or not any(view.state in ACTIVE_STATES for view in self._views)


def _watch_live(watched: Watched, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    from seedfold.orchestrator.cli.grid import make_console

    with _unbuffered_keys(), Live(Text(), console=make_console(), auto_refresh=False, transient=True) as live:
        while True:
            lines = watched.shown_lines()
            live.update(Text.from_ansi("\n".join(map(to_ansi, lines))), refresh=True)
            if watched.is_finished() or _q_pressed(every):
                break
            watched.refresh()
    print_lines(lines)


def _watch_plain(watched: Watched, every: float) -> None:
    """Print what lasts each time it changes."""
    printed: list[StyledLine] = []
    while True:
        lines = watched.lasting_lines()
        if printed != lines:
            print_lines(lines)
            sys.stdout.flush()
            printed = lines
        if watched.is_finished():
            return
        time.sleep(every)
        watched.refresh()


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
