"""``seedfold watch [STUDY]``: the status, updated until no job is active."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from math import inf
from typing import Protocol

import click

from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import StyledLine, can_draw, counts_text, make_lines, print_lines
from seedfold.orchestrator.cli.live_terminal import LiveTerminal
from seedfold.orchestrator.cli.ls import study_lines
from seedfold.orchestrator.cli.status import status_lines
from seedfold.orchestrator.cli.watch_screen import Reaction, StudyScreen
from seedfold.orchestrator.dispatch.queue_view import QueueView, advance_and_view_queue
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, STATES
from seedfold.orchestrator.state.job_views import others_of
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

    def screen_lines(self, height: int | None) -> list[StyledLine]:
        """Return what is drawn on a terminal of so many lines; None if no keys are read."""

    def press(self, key: str, terminal: LiveTerminal) -> Reaction:
        """Do what a key stands for."""

    def lasting_lines(self) -> list[StyledLine]:
        """Return the part of it that does not change all the time: where there is no terminal, the rest is noise."""

    def is_finished(self) -> bool:
        """Whether no job is active."""

    def stays(self) -> bool:
        """Whether a display with keys stays when no job is active."""


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
    """Show the status of a study and update it until no job is active. Without a study, show the list of studies,
    and update that.

    On a terminal, keys choose a running job, show its learning curves and its log, sort, filter, cancel and resume; the
    last line names them. `q` or Ctrl-C ends the display, not the jobs. If jobs have failed or wait when no job is
    active any more, the display stays until `q`.

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
        (_watch_live if can_draw() else _watch_plain)(watched, every)
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

    def screen_lines(self, height: int | None) -> list[StyledLine]:
        """Return the list, and what the keys do."""
        return [*self.shown_lines(), *(make_lines("q quit", style="dim") if height else [])]

    def press(self, key: str, terminal: LiveTerminal) -> Reaction:
        """No key but one does anything here."""
        return "quit" if key in ("q", "Q") else ""

    def lasting_lines(self) -> list[StyledLine]:
        """Return the number of jobs of each study by state."""
        readable = [study for study in self._studies if study.states is not None]
        return make_lines(*(f"{study.study}: {counts_text(study.states or {}, STATES)}" for study in readable))

    def is_finished(self) -> bool:
        """Whether no job of any study is active."""
        return not any(study.is_active for study in self._studies)

    def stays(self) -> bool:
        """No key is of use then."""
        return False


class WatchedStudy:
    """The status of a study, which is advanced on a cluster from time to time."""

    def __init__(self, root: Root, study: str, selection: Selection) -> None:
        self._overview = Overview(root, study, result_check="recent")
        self._selection = selection
        self._screen = StudyScreen(self._overview, selection)
        self._queried_at = -inf
        self._queue_view = QueueView()
        self._views: Sequence[JobView] = []

    def refresh(self) -> None:
        """Read what is new; also query the scheduler if the last query was a while ago."""
        if time.monotonic() - self._queried_at > _QUERY_EVERY_S:
            self._queue_view = advance_and_view_queue(self._overview.root, self._overview.ledger)
            self._queried_at = time.monotonic()
        self._overview.refresh()
        self._views = self._overview.job_views(self._screen.selection)
        self._screen.refresh(self._views, self._queue_view)

    def shown_lines(self) -> list[StyledLine]:
        """Return the status, and the last queue view."""
        return status_lines(self._overview, self._views, self._queue_view)

    def screen_lines(self, height: int | None) -> list[StyledLine]:
        """Return what fits on the terminal, with the keys."""
        return self.shown_lines() if height is None else self._screen.lines(height)

    def press(self, key: str, terminal: LiveTerminal) -> Reaction:
        """Choose, sort, filter, show a log, cancel or resume."""
        return self._screen.press(key, terminal)

    def lasting_lines(self) -> list[StyledLine]:
        """Return the same without what the running jobs are doing."""
        return status_lines(self._overview, self._views, self._queue_view, with_progress=False)

    def is_finished(self) -> bool:
        """Whether no job is active; in a copy no job ever is."""
        is_copy = read_copy_origin(self._overview.folder) is not None
        if is_copy or any(view.state in ACTIVE_STATES for view in others_of(self._views)):
            return is_copy
        # A filter may show no job that is active.
        jobs = self._selection.apply(self._overview.jobs_at_addresses().values(), lambda job: job)
        return not any(self._overview.states.of(job.id).state in ACTIVE_STATES for job in jobs)

    def stays(self) -> bool:
        """Whether jobs have failed or wait, so that a person may want to look at them and to resume them."""
        return self._screen.waits_for_a_person and read_copy_origin(self._overview.folder) is None


def _watch_live(watched: Watched, every: float) -> None:
    with LiveTerminal() as terminal:
        pause = every
        while not _is_over(watched, terminal) and _handle_keys(watched, terminal, pause):
            began = time.monotonic()
            watched.refresh()
            # A large study takes long to read.
            pause = max(every, time.monotonic() - began)
    print_lines(watched.shown_lines())


def _is_over(watched: Watched, terminal: LiveTerminal) -> bool:
    return watched.is_finished() and not (terminal.has_keys and watched.stays())


def _handle_keys(watched: Watched, terminal: LiveTerminal, seconds: float) -> bool:
    """Show what is watched for some time, and do what the keys say; return whether to go on."""
    until = time.monotonic() + seconds
    while True:
        terminal.show(watched.screen_lines(terminal.height() if terminal.has_keys else None))
        left = until - time.monotonic()
        key = terminal.read_key(left) if left > 0 else None
        if key is None:
            return True
        reaction = watched.press(key, terminal)
        if reaction:
            return reaction == "refresh"


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
