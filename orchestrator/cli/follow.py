"""Waits for the jobs of a launch: shows progress, handles Ctrl-C, and prints the outcome.

Waiting changes nothing: the jobs go on if the terminal is closed.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from types import FrameType

from seedfold.jobs.errors import SeedfoldError, count_noun
from seedfold.orchestrator.cli.console import (
    can_draw,
    counts_text,
    duration_text,
    make_lines,
    output_width,
    print_lines,
    print_note,
    print_text,
    wrap_lines,
)
from seedfold.orchestrator.cli.headline import print_headline
from seedfold.orchestrator.cli.live_terminal import LiveTerminal
from seedfold.orchestrator.cli.status import failure_lines, progress_of_views, search_lines_of
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.dispatch.wait import JobWatcher, Progress, stop_workers
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import last_plan_header
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.given_up import given_up_jobs, given_up_lines, resume_text
from seedfold.orchestrator.state.held_lines import held_lines, kept_back
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, STATES
from seedfold.orchestrator.state.overview import (
    JobView,
    Overview,
    dead_worker_lines,
    nothing_to_do_lines,
    unique_by_id,
)

_INTERRUPTED_EXIT_CODE = 130
_LOOK_EVERY_S = 1.0
_PLAIN_EVERY_S = 5.0
ShowProgress = Callable[[Progress], None]


class InterruptHandler:
    """Handles Ctrl-C while waiting: the first asks jobs to write checkpoints and stop, the second kills them."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._handled = 0
        self.count = 0

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Count each Ctrl-C instead of ending the process."""
        previous_handler = signal.signal(signal.SIGINT, self._count_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous_handler)

    def _count_interrupt(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def handle(self) -> None:
        """Act on each Ctrl-C since the last call."""
        while self._handled < self.count:
            self._handled += 1
            workers = stop_workers(self._study)
            if not workers:
                study = self._study.name
                raise WaitAbandonedError(
                    "stopped waiting; no worker of this machine runs the jobs; to stop"
                    f" them elsewhere: seedfold cancel {study}"
                )
            print_note(
                "stopping: running jobs write a checkpoint… (Ctrl-C again kills them)"
                if self._handled == 1
                else "killing"
            )


class WaitAbandonedError(SeedfoldError):
    """A person stopped waiting before the jobs had ended."""

    exit_code = _INTERRUPTED_EXIT_CODE


def wait_if_asked(root: Root, launched: LaunchResult, wait: bool | None) -> int:
    """Wait if ``wait`` is true, or if it is None and this machine runs the jobs; return the exit code.

    Without waiting it says whether the scheduler accepted the jobs.
    """
    waits = _runs_locally(launched.study) if wait is None else wait
    return wait_and_print_outcome(root, launched) if waits else launched.exit_code


def _runs_locally(study: StudyFolder) -> bool:
    header = last_plan_header(study)
    return header is not None and header.settings["cluster"]["executor"] == "local"


def wait_and_print_outcome(root: Root, launched: LaunchResult) -> int:
    """Wait for the jobs of a launch; return the exit code: 0, 1 if one failed or was lost, 130 after Ctrl-C."""
    started_at = time.monotonic()
    watcher = JobWatcher(root, launched.study, None if launched.is_search else launched.jobs)
    interrupts = InterruptHandler(launched.study)
    with interrupts.catch(), _progress_display(root, launched) as display:

        def look(progress: Progress) -> None:
            interrupts.handle()
            display(progress)

        final_progress = watcher.wait(look)
    if launched.is_search:
        launched = replace(launched, jobs=tuple(watcher.jobs))
    return print_outcome(
        root, launched, final_progress, time.monotonic() - started_at, interrupted=interrupts.count > 0
    )


def print_outcome(root: Root, launched: LaunchResult, progress: Progress, seconds: float, interrupted: bool) -> int:
    """Print the outcome, and return the exit code."""
    study, job_ids = launched.study.name, set(launched.jobs)
    overview = Overview(root, study)
    all_views = overview.job_views()
    views, way_on = [view for view in all_views if view.job.id in job_ids], resume_text(overview.states, all_views)
    duration = f"; {duration_text(round(seconds, 1))}" if launched.submissions else ""
    print_text(f"{study}: {counts_text(progress.counts, STATES)}{duration}", style="bold")
    print_lines([*failure_lines(views), *make_lines(*dead_worker_lines(overview, views), style="yellow")])
    print_lines(make_lines(*nothing_to_do_lines(views)))
    print_lines(make_lines(*held_lines(overview.states, study, job_ids), style="yellow"))
    settled = sum(view.job_state.has_nothing_to_do for view in views)
    held = kept_back(overview.states, (view.job for view in views))
    unfinished = sum(progress.counts[state] for state in STATES if state not in {"done", "paused"}) - settled
    if launched.is_search:
        # A trial that failed is a result for the search.
        unfinished -= progress.counts["failed"]
    unfinished -= sum(view.state == "waiting" and view.job.id in held for view in unique_by_id(views))
    print_lines(make_lines(*_given_up_lines(overview, views, way_on), style="yellow"))
    if unfinished > 0:
        print_lines(
            make_lines(
                f"{count_noun(unfinished, 'job is', 'jobs are')} not done; to continue: {way_on}", style="yellow"
            )
        )
    elif not held:
        table = f"{study} trials" if launched.is_search else study
        print_text(f"seedfold results {table}  ·  seedfold report {study}")
    if launched.is_search:
        print_lines(search_lines_of(overview))
    elif sys.stdout.isatty():
        print_headline(overview)
    if interrupted:
        return _INTERRUPTED_EXIT_CODE
    stopped = sum(progress.counts[state] for state in ("failed", "blocked", "lost")) - settled
    has_results = launched.is_search and progress.counts["done"] > 0 and unfinished <= 0
    return 1 if stopped and not has_results else 0


def _given_up_lines(overview: Overview, views: Sequence[JobView], way_on: str) -> Iterator[str]:
    unique_views = unique_by_id(views)
    return given_up_lines(overview.states, unique_views, given_up_jobs(overview.states, unique_views), way_on)


@contextmanager
def _progress_display(root: Root, launched: LaunchResult) -> Iterator[ShowProgress]:
    if can_draw():
        with LiveTerminal(with_keys=False) as terminal:
            yield _LiveDisplay(root, launched, terminal)
    else:
        yield _PlainDisplay(launched.study.name)


class _PlainDisplay:
    """Prints a line when a job has ended, but only once in a few seconds, and a line when all jobs have to wait."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._printed_counts: Sequence[int] = ()
        self._printed_at = 0.0
        self._waits_for = ""

    def __call__(self, progress: Progress) -> None:
        if progress.waits_for and progress.waits_for != self._waits_for:
            self._print_line(progress.waits_for)
            self._waits_for = progress.waits_for
        ended = [count for state, count in progress.counts.items() if state not in ACTIVE_STATES]
        if progress.is_over or ended == self._printed_counts or time.monotonic() - self._printed_at < _PLAIN_EVERY_S:
            return
        self._print_line(counts_text(progress.counts, STATES))
        self._printed_counts, self._printed_at = ended, time.monotonic()

    def _print_line(self, text: str) -> None:
        print_text(f"{self._study}: {text}")
        sys.stdout.flush()


class _LiveDisplay:
    """Shows what `status` shows of the jobs that are waited for. It disappears at the end."""

    def __init__(self, root: Root, launched: LaunchResult, terminal: LiveTerminal) -> None:
        self._root, self._study, self._terminal = root, launched.study.name, terminal
        self._only = None if launched.is_search else Selection(ids=frozenset(launched.jobs))
        self._overview: Overview | None = None
        self._next_look_at = -inf

    def __call__(self, progress: Progress) -> None:
        began = time.monotonic()
        if began < self._next_look_at and not progress.is_over:
            return
        if self._overview is None:
            self._overview = Overview(self._root, self._study, result_check="recent", only=self._only)
        else:
            self._overview.refresh()
        views = self._overview.job_views()
        waits = make_lines(*filter(None, [progress.waits_for]), style="yellow")
        lines = [*progress_of_views(self._overview, views), *waits, *failure_lines(views)]
        self._terminal.show(wrap_lines(lines, output_width()))
        now = time.monotonic()
        # A large study takes long to read.
        self._next_look_at = now + max(_LOOK_EVERY_S, now - began)
