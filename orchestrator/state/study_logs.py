"""The logs of many jobs of a study at once, line by line, each line with the place of its job."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.state.axes_text import axes_text
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, StateName
from seedfold.orchestrator.state.job_views import others_of
from seedfold.orchestrator.state.overview import JobView, Overview, unique_by_id

END_LINES = 20
_END_BYTES = 1 << 15
_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line of a job's log, without its line break, and the job's place in the study."""

    place: str
    line: bytes


class StudyLogs:
    """The logs of the current jobs of a study; those of the first ``limit`` jobs, except where logs are followed."""

    def __init__(self, overview: Overview, limit: int | None = None) -> None:
        self._overview = overview
        self._limit = limit
        self._axes = varying_axes(overview.jobs_at_addresses().values())

    def ends_of_running(self) -> Iterator[PlacedLine]:
        """Yield the last lines of the logs of running jobs."""
        for view in self._first_in("running"):
            yield from self._placed(view, read_end(log_file(view))[0])

    def ends_of_failed(self) -> Iterator[PlacedLine]:
        """Yield the last lines of the logs of failed jobs; the reason instead where nothing was printed.

        Of logs that end alike, only the first is shown: the others have one line that names its job.
        """
        first_with: dict[tuple[bytes, ...], str] = {}
        for view in self._first_in("failed"):
            log = view.failure_json()["log"]
            lines = Path(log).read_bytes().splitlines()[-END_LINES:] if log else []
            lines = lines or [view.job_state.reason.encode()]
            first = first_with.setdefault(tuple(lines), view.job.short_id)
            alike = first != view.job.short_id and len(lines) > 1
            yield from self._placed(view, [f"ends as the log of {first}".encode()] if alike else lines)

    def follow(self) -> Iterator[PlacedLine]:
        """Yield what jobs print, beginning with the last lines of those that run, until no job is active."""
        positions: dict[Path, int] = {}
        views = self._views()
        ended = {log_file(view) for view in views if view.state != "running"}
        for view in views:
            if view.state == "running":
                lines, positions[log_file(view)] = read_end(log_file(view))
                yield from self._placed(view, lines)
        while True:
            active = self._is_active(views)
            for view in views:
                # A job may begin and end between two looks.
                if log_file(view) not in ended:
                    yield from self._placed(view, _read_new(log_file(view), positions))
            if not active:
                return
            time.sleep(_POLL_S)
            self._overview.refresh()
            views = self._views()

    def _is_active(self, views: Sequence[JobView]) -> bool:
        is_copy = read_copy_origin(self._overview.folder) is not None
        return not is_copy and any(view.state in ACTIVE_STATES for view in others_of(views))

    def _first_in(self, state: StateName) -> list[JobView]:
        return [view for view in self._views() if view.state == state][: self._limit]

    def _views(self) -> Sequence[JobView]:
        return unique_by_id(self._overview.job_views())

    def _placed(self, view: JobView, lines: Sequence[bytes]) -> Iterator[PlacedLine]:
        axes = {name: value for name, value in view.job.axes.items() if name in self._axes}
        place = f"{view.job.short_id} {view.job.stage} {axes_text(axes)}".rstrip()
        return (PlacedLine(place, line) for line in lines)


def varying_axes(jobs: Iterable[JobDescription]) -> set[str]:
    """Return the axes that have several values among jobs: the others tell nothing."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for name, value in job.axes.items():
            values.setdefault(name, set()).add(str(value))
    return {name for name, found in values.items() if len(found) > 1}


def log_file(view: JobView) -> Path:
    """The log of the latest attempt of a job."""
    return view.job_state.holding_study.log_file(view.job.id, view.job_state.attempt)


def read_end(file: Path) -> tuple[list[bytes], int]:
    """Return the last whole lines of a log, and the position after them; nothing if there is no log yet."""
    if not file.exists():
        return [], 0
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        start = max(0, size - _END_BYTES)
        opened.seek(start)
        content = opened.read(size - start)
    lines, rest = _whole_lines(content)
    return lines[-END_LINES:], size - len(rest)


def _read_new(file: Path, positions: dict[Path, int]) -> list[bytes]:
    """Return the whole lines after the position of a log, and move it."""
    if not file.exists():
        return []
    with file.open("rb") as opened:
        opened.seek(positions.get(file, 0))
        content = opened.read()
    lines, rest = _whole_lines(content)
    positions[file] = positions.get(file, 0) + len(content) - len(rest)
    return lines


def _whole_lines(content: bytes) -> tuple[list[bytes], bytes]:
    *lines, rest = content.split(b"\n")
    return lines, rest
