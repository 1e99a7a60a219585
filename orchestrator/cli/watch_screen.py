"""The display of `seedfold watch STUDY` on a terminal: what it shows, and what its keys do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seedfold.jobs.errors import SeedfoldError, count_noun
from seedfold.jobs.terminal_text import terminal_log
from seedfold.orchestrator.cli.call import add_folder_to_import_path
from seedfold.orchestrator.cli.console import StyledLine, make_lines, output_width, wrap_lines
from seedfold.orchestrator.cli.job_screen import job_lines
from seedfold.orchestrator.cli.live_terminal import LiveTerminal
from seedfold.orchestrator.cli.pager import page_lines
from seedfold.orchestrator.cli.running_rows import running_rows
from seedfold.orchestrator.cli.stage_bars import stage_lines
from seedfold.orchestrator.cli.status import end_lines, title_line
from seedfold.orchestrator.dispatch.queue_view import QueueView
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.failure_places import find_failure_places
from seedfold.orchestrator.state.job_states import StateName
from seedfold.orchestrator.state.job_views import others_of
from seedfold.orchestrator.state.overview import (
    JobView,
    Overview,
    group_failures,
    job_label,
    status_notes,
    status_to_json,
)
from seedfold.orchestrator.state.running_jobs import RunningJob
from seedfold.orchestrator.state.stage_progress import StudyProgress
from seedfold.orchestrator.state.study_logs import StudyLogs, log_file, varying_axes

Reaction = Literal["", "refresh", "quit"]
"""What follows from a key: nothing, that what is new is read at once, or the end of the display."""
_KEYS = (
    "↑↓ choose",
    "enter job",
    "f failures",
    "s sort",
    "/ filter",
    "c cancel",
    "C cancel all",
    "r resume failed",
    "q quit",
)
_JOB_KEYS = ("enter back", "↑↓ next job", "l whole log", "c cancel", "q quit")


def _help(keys: Sequence[str]) -> str:
    return "  ".join(key.replace(" ", "\u00a0") for key in keys)


HELP, _JOB_HELP, _TEXT_HELP = _help(_KEYS), _help(_JOB_KEYS), "any key: back"
_STOPPED: frozenset[str] = frozenset({"failed", "lost", "waiting"})
_TO_RESUME: frozenset[StateName] = frozenset({"failed", "blocked"})
_SORTS: tuple[tuple[str, Callable[[RunningJob], float]], ...] = (
    ("", lambda job: 0.0),
    ("longest first", lambda job: -job.elapsed_s),
    ("most done first", lambda job: -(job.epoch or 0) / (job.epochs or 1)),
    ("smallest metric first", lambda job: float("inf") if job.value is None else job.value),
    ("largest metric first", lambda job: float("inf") if job.value is None else -job.value),
)


@dataclass(frozen=True)
class _Question:
    """What is asked before something happens, and what happens if the answer is yes: it returns what it did."""

    text: str
    act: Callable[[], str]


class StudyScreen:
    """The display of one study, with its state: the chosen job, the order, the filter, a question."""

    def __init__(self, overview: Overview, selection: Selection) -> None:
        self._overview = overview
        self._given = selection
        self._filter: tuple[str, ...] = ()
        self._sort = 0
        self._chosen: str | None = None
        self._question: _Question | None = None
        self._typed: str | None = None
        """The filter that is being typed."""
        self._message = ""
        self._shows_job = False
        """Whether the chosen job is shown alone."""
        self._text: list[StyledLine] = []
        """What is shown in place of all else until a key is pressed."""
        self._views: Sequence[JobView] = []
        self._progress = StudyProgress((), (), None)
        self._counts: dict[str, Any] = {}
        self._notes: list[StyledLine] = []

    @property
    def waits_for_a_person(self) -> bool:
        """Whether jobs have failed or wait though no worker is running: the keys are of use still."""
        return any(view.state in _STOPPED for view in self._views)

    @property
    def selection(self) -> Selection:
        """Which jobs are shown: those that the command line names, or that the filter does."""
        return Selection.parse(self._filter) if self._filter else self._given

    def refresh(self, views: Sequence[JobView], queue_view: QueueView) -> None:
        """Take over what has been read."""
        self._views = views
        self._progress = StudyProgress.find(self._overview, views, queue_view.seconds_to_first_start())
        self._counts = status_to_json(self._overview.folder.name, views)
        groups = group_failures(views)
        failures = [
            f"{group.job_count} failed, {group.kind}: {group.example['reason']}{place.text and f'; {place.text}'}"
            for group, place in zip(groups, find_failure_places(groups, views), strict=True)
        ]
        notes = [*status_notes(self._overview, views), *queue_view.lines()]
        self._notes = [*make_lines(*failures, style="red"), *make_lines(*notes, style="yellow")]

    def lines(self, height: int) -> list[StyledLine]:
        """Return what is shown, at most ``height`` lines: what runs has the room that the rest leaves."""
        width = output_width()
        foot = wrap_lines(self._foot(), width)
        if self._text:
            return [*self._text[: height - len(foot)], *foot]
        chosen = self._chosen_view() if self._shows_job else None
        if chosen is not None:
            its_run = next((job for job in self._progress.running if job.job.id == self._chosen), None)
            return [*job_lines(chosen, its_run, width, height - len(foot)), *foot]
        top = [
            *wrap_lines([title_line(self._counts)], width),
            *stage_lines(self._progress.stages, width),
            *end_lines(self._progress),
        ]
        notes = wrap_lines(self._notes, width)
        room = height - len(top) - len(foot)
        running = self._running_lines(width, max(3, room - min(len(notes), room // 2)))
        body = [*top, *running, *notes[: max(0, room - len(running))]]
        return [*body[: max(0, height - len(foot))], *foot]

    def _foot(self) -> list[StyledLine]:
        shown = [f"filter {self.selection.text}"] if self.selection.text else []
        shown += [f"sorted: {_SORTS[self._sort][0]}"] if self._sort else []
        lines = make_lines(*filter(None, ["; ".join(shown)]), style="dim")
        if self._typed is not None:
            return [*lines, *make_lines(f"show the jobs with (e.g. seed=1,2): {self._typed}▏", style="bold")]
        if self._question is not None:
            return [*lines, *make_lines(f"{self._question.text} y/N", style="bold")]
        keys = _TEXT_HELP if self._text else _JOB_HELP if self._shows_job else HELP
        return [*lines, *make_lines(*filter(None, [self._message]), style="yellow"), *make_lines(keys, style="dim")]

    # --- what runs ------------------------------------------------------------------------------------------------

    def _running(self) -> list[RunningJob]:
        return sorted(self._progress.running, key=_SORTS[self._sort][1])

    def _running_lines(self, width: int, room: int) -> list[StyledLine]:
        """The running jobs around the chosen one; the last line says how many more there are."""
        running = self._running()
        axes = varying_axes(self._overview.jobs_at_addresses().values())
        rows = running_rows(running, width, axes, len(self._progress.stages) > 1)
        each = max(map(len, rows), default=1)
        count = len(rows) if len(rows) * each <= room else max(1, (room - 1) // each)
        place = self._place(running)
        first = min(max(0, place - count // 2), len(rows) - count)
        lines: list[StyledLine] = []
        for job, texts in list(zip(running, rows, strict=True))[first : first + count]:
            lines += make_lines(*texts, style="reverse" if job.job.id == self._chosen else "")
        more = len(rows) - count
        return lines + (make_lines(f"  … and {more} more are running", style="dim") if more else [])

    def _place(self, running: Sequence[RunningJob]) -> int:
        return next((index for index, job in enumerate(running) if job.job.id == self._chosen), 0)

    def _choose(self, step: int) -> None:
        running = self._running()
        ids = [job.job.id for job in running]
        place = self._place(running) + step if self._chosen in ids else (0 if step > 0 else len(ids) - 1)
        self._chosen = ids[min(max(0, place), len(ids) - 1)] if ids else None

    # --- keys -----------------------------------------------------------------------------------------------------

    def press(self, key: str, terminal: LiveTerminal) -> Reaction:
        """Do what a key stands for."""
        self._message = ""
        if self._text:
            self._text = []
            return ""
        if self._question is not None:
            question, self._question = self._question, None
            self._message = _try(question.act) if key in ("y", "Y") else ""
            return "refresh"
        if self._typed is not None:
            return self._type(key)
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -10, "page down": 10}
        if key in steps:
            self._choose(steps[key])
        elif key == "s":
            self._sort = (self._sort + 1) % len(_SORTS)
        elif key == "enter":
            self._shows_job = not self._shows_job and self._has_chosen()
        elif key == "escape":
            self._shows_job = False
        elif key == "l":
            self._show_log(terminal)
        elif key == "f":
            self._show_failures(terminal)
        elif key == "/":
            self._typed = " ".join(self._filter)
        else:
            self._question = self._ask(key)
        return "quit" if key in ("q", "Q") else ""

    def _type(self, key: str) -> Reaction:
        """Go on typing a filter, or take it over; an empty one shows all jobs again, and escape changes nothing."""
        assert self._typed is not None
        if key == "enter":
            text, self._typed = self._typed.strip(), None
            self._message = _try(lambda: self._take_filter(text))
            return "refresh"
        if key == "escape":
            self._typed = None
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif len(key) == 1 and key.isprintable():
            self._typed += key
        return ""

    def _take_filter(self, text: str) -> str:
        conditions = (text,) if text else ()
        Selection.parse(conditions).check_names(self._overview.ledger.plans.jobs.values())
        self._filter = conditions
        return ""

    def _ask(self, key: str) -> _Question | None:
        if key == "c":
            return self._ask_cancel(
                [view for view in self._views if view.job.id == self._chosen], "choose a job with ↑↓"
            )
        if key == "C":
            return self._ask_cancel(self._views, "")
        return self._ask_resume() if key == "r" else None

    def _ask_cancel(self, views: Sequence[JobView], advice: str) -> _Question | None:
        from seedfold.orchestrator.dispatch.cancel import is_to_cancel

        to_cancel = {view.job.id: view for view in others_of(views) if is_to_cancel(view.job, view.state)}
        if not to_cancel:
            self._message = advice
            return None
        running = sum(view.state == "running" for view in to_cancel.values())
        one = next(iter(to_cancel.values()))
        what = (
            job_label(one.job)
            if len(to_cancel) == 1
            else f"the {count_noun(len(to_cancel), 'job')} that are not done ({running} running)"
        )
        return _Question(f"cancel {what}?", lambda: self._cancel(frozenset(to_cancel)))

    def _cancel(self, ids: frozenset[str]) -> str:
        from seedfold.orchestrator.dispatch.cancel import cancel

        name = self._overview.folder.name
        result = cancel(self._overview.root, name, selection=Selection(ids=ids))
        done = f"cancelled {count_noun(len(result.jobs), 'job')}; to start them again: seedfold resume {name}"
        return "; ".join(filter(None, (done, result.note(name))))

    def _ask_resume(self) -> _Question | None:
        ids = frozenset(view.job.id for view in others_of(self._views) if view.state in _TO_RESUME)
        failed = sum(view.state == "failed" for view in others_of(self._views))
        if not failed:
            self._message = "no job that is shown has failed"
            return None
        return _Question(f"start {count_noun(failed, 'failed job')} again?", lambda: self._resume(ids))

    def _resume(self, ids: frozenset[str]) -> str:
        from seedfold.orchestrator.dispatch.resume import resume

        add_folder_to_import_path()
        launched = resume(self._overview.root, self._overview.folder.name, selection=Selection(ids=ids))
        refusals = launched.advance_result.refusals if launched.advance_result else ()
        return "; ".join([f"started {count_noun(len(launched.started), 'job')}", *refusals, *launched.notes])

    def _chosen_view(self) -> JobView | None:
        return next((view for view in self._views if view.job.id == self._chosen), None)

    def _has_chosen(self) -> bool:
        found = self._chosen_view() is not None
        self._message = "" if found else "choose a running job with ↑↓"
        return found

    def _show_log(self, terminal: LiveTerminal) -> None:
        view = self._chosen_view()
        if view is None or not self._has_chosen():
            return
        log = log_file(view)
        text = "".join(terminal_log([log.read_bytes()])) if log.exists() else ""
        self._show_text(terminal, [job_label(view.job), *(text.splitlines() or ["it has printed nothing yet"])])

    def _show_failures(self, terminal: LiveTerminal) -> None:
        only = Selection(ids=frozenset(view.job.id for view in self._views))
        logs = StudyLogs(Overview(self._overview.root, self._overview.folder.name, "recent", only=only))
        lines = [
            f"{line.place} | {text}"
            for line in logs.ends_of_failed()
            for text in "".join(terminal_log([line.line])).splitlines() or [""]
        ]
        if lines:
            self._show_text(terminal, lines)
        else:
            self._message = "no job that is shown has failed"

    def _show_text(self, terminal: LiveTerminal, texts: Sequence[str]) -> None:
        """Show a text until a key is pressed; in a pager if it is longer than the terminal."""
        lines = wrap_lines(make_lines(*texts), output_width())
        if len(lines) < terminal.height():
            self._text = lines
            return
        with terminal.paused():
            is_paged = page_lines(make_lines(*texts), at_end=True)
        if not is_paged:
            # There is no pager: as much of the end as fits.
            self._text = lines[-(terminal.height() - 1) :]


def _try(act: Callable[[], str]) -> str:
    """Return what it says, or the error that a person has to know."""
    try:
        return act()
    except (SeedfoldError, OSError) as error:
        return str(error)
