"""Staying with the jobs of a launch: progress while they run, Ctrl-C, and what came out.

Waiting changes nothing: whoever works on the jobs goes on when the terminal is gone.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from seedfold.jobs.errors import SeedfoldError, counted
from seedfold.orchestrator.cli.console import counts_text, hours_text, lines, say, show
from seedfold.orchestrator.cli.status import failure_parts
from seedfold.orchestrator.dispatch.submit import Launched
from seedfold.orchestrator.dispatch.wait import Progress, Waiter, stop_workers
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.state.job_states import ALIVE, STATES
from seedfold.orchestrator.state.overview import Overview, axes_text, fallen_lines, nothing_to_do

_INTERRUPTED = 130
_RUNNING_SHOWN = 8
_PLAIN_EVERY_S = 5.0
Show = Callable[[Progress], None]


class Interrupts:
    """Ctrl-C while waiting: the first asks running jobs for a checkpoint, the second kills them."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._asked = 0
        self.count = 0

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count Ctrl-C instead of ending the process."""
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def answer(self) -> None:
        """Do what was asked for since the last call."""
        while self._asked < self.count:
            self._asked += 1
            workers = stop_workers(self._study)
            if not workers:
                study = self._study.name
                raise LeftError(f"left; nobody on this machine is at work: seedfold cancel {study} stops others")
            _tell("stopping: running jobs write a checkpoint… (Ctrl-C again kills)" if self._asked == 1 else "killing")


class LeftError(SeedfoldError):
    """A person left before the jobs were through."""

    exit_code = _INTERRUPTED


def _tell(text: str) -> None:
    print(f"seedfold: {text}", file=sys.stderr, flush=True)


def stay_or_leave(root: Root, launched: Launched, wait: bool | None) -> int:
    """Wait if told to, or if not told and this machine does the work; return the exit code."""
    stay = _is_local(launched.study) if wait is None else wait
    return follow(root, launched) if stay else 0


def _is_local(study: StudyFolder) -> bool:
    header = Plans(study).header
    return header is not None and header.settings["cluster"]["executor"] == "local"


def follow(root: Root, launched: Launched) -> int:
    """Wait for the jobs of a launch; return the exit code: 0, 1 if one failed or was lost, 130 after Ctrl-C."""
    began = time.monotonic()
    waiter = Waiter(root, launched.study, launched.jobs)
    interrupts = Interrupts(launched.study)
    with interrupts.caught(), _display(launched.study.name, len(launched.jobs)) as display:

        def look(progress: Progress) -> None:
            interrupts.answer()
            display(progress)

        end = waiter.wait(look)
    return conclude(root, launched, end, time.monotonic() - began, interrupted=interrupts.count > 0)


def conclude(root: Root, launched: Launched, end: Progress, seconds: float, interrupted: bool) -> int:
    """Print what came out, and return the exit code."""
    study, named = launched.study.name, set(launched.jobs)
    overview = Overview(root, study)
    views = [view for view in overview.places() if view.job.id in named]
    took = f"; {hours_text(round(seconds, 1))}" if launched.submissions else ""
    say(f"{study}: {counts_text(end.counts, STATES)}{took}", style="bold")
    show([*failure_parts(views), *lines(*fallen_lines(overview, views), style="yellow")])
    show(lines(*nothing_to_do(views)))
    settled = sum(view.standing.settled for view in views)
    left = sum(end.counts[state] for state in STATES if state != "done") - settled
    if left:
        show(lines(f"{counted(left, 'job is', 'jobs are')} not done: seedfold resume {study}", style="yellow"))
    else:
        say(f"seedfold results {study}  ·  seedfold report {study}")
    if interrupted:
        return _INTERRUPTED
    stopped = sum(end.counts[state] for state in ("failed", "blocked", "lost")) - settled
    return 1 if stopped else 0


@contextmanager
def _display(study: str, jobs: int) -> Iterator[Show]:
    if sys.stdout.isatty():
        with _live(study, jobs) as display:
            yield display
    else:
        yield _Plain(study)


class _Plain:
    """A line when something has ended, and not more often than every few seconds; and one when all has to wait."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._shown: Sequence[int] = ()
        self._at = 0.0
        self._waits_for = ""

    def __call__(self, progress: Progress) -> None:
        if progress.waits_for and progress.waits_for != self._waits_for:
            print(f"{self._study}: {progress.waits_for}", flush=True)
            self._waits_for = progress.waits_for
        ended = [count for state, count in progress.counts.items() if state not in ALIVE]
        if progress.over or ended == self._shown or time.monotonic() - self._at < _PLAIN_EVERY_S:
            return
        print(f"{self._study}: {counts_text(progress.counts, STATES)}", flush=True)
        self._shown, self._at = ended, time.monotonic()


@contextmanager
def _live(study: str, jobs: int) -> Iterator[Show]:
    """A bar, the counts, and the jobs at work; it disappears at the end."""
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    from seedfold.orchestrator.cli.grid import console

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns)
    task = bar.add_task(study, total=jobs)
    with Live(bar, console=console(), refresh_per_second=4, transient=True) as live:

        def display(progress: Progress) -> None:
            bar.update(task, completed=progress.counts["done"])
            running = [f"  {job.short_id} {job.stage} {axes_text(job.axes)}" for job in progress.running]
            more = [f"  … and {len(running) - _RUNNING_SHOWN} more"] if len(running) > _RUNNING_SHOWN else []
            waits = [f"  {progress.waits_for}"] if progress.waits_for else []
            texts = [counts_text(progress.counts, STATES), *waits, *running[:_RUNNING_SHOWN], *more]
            live.update(Group(bar, *(Text(text, no_wrap=True, overflow="ellipsis") for text in texts)))

        yield display
