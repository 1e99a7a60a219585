"""All events of a study, read once: what later commands need of them is kept as columns beside the ledger.

What was kept counts only as long as every file begins with what was read of it; else all files are read again. Of
files that have grown, the new part is read.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.events import OF_THE_STUDY, Event, EventLine, EventReader, read_line
from seedfold.orchestrator.ledger.gpu_shares import GpuShares
from seedfold.orchestrator.ledger.job_table import DONE, NOBODY, JobTable
from seedfold.orchestrator.ledger.kept_columns import keep, read_kept
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.throttle import Throttle
from seedfold.results.store.passing_errors import try_again

_FORM = 3
"""Of what is kept; to be raised when other things are kept, or events are read in another way."""
_WORTH_KEEPING_BYTES = 1 << 18
_WORTH_KEEPING_FILES = 100
_MOST_OPEN = 8


class EventLog:
    """The events. ``table`` has what they say of each job."""

    def __init__(
        self,
        study: StudyFolder,
        has_file: Callable[[str], bool] | None = None,
        is_ended: Callable[[str], bool] | None = None,
    ) -> None:
        """``has_file`` and ``is_ended`` are those of `EventReader`. What was kept is of all files."""
        self._study = study
        self._folder = str(study.events_folder)
        self._reader = EventReader(study.events_folder, has_file, is_ended)
        self.table = JobTable()
        self._study_events: list[Event] = []
        self._of_many_jobs: dict[tuple[int, int], list[Event]] = {}
        self._open: OrderedDict[int, int] = OrderedDict()
        self._bytes_read = 0
        self.throttle, self.gpu_shares = Throttle(), GpuShares()
        if has_file is None:
            self._restore()

    @property
    def damaged_lines(self) -> Counter[str]:
        """The number of lines that could not be read, by the name of their file."""
        return self._reader.damaged_lines

    def _restore(self) -> None:
        """Begin with what was kept, if it is of these files."""
        for kept in read_kept(self._study, "events"):
            facts = kept.facts
            try:
                if facts["form"] != _FORM:
                    continue
                table = JobTable.restore(kept)
            except (KeyError, ValueError, TypeError):
                continue
            if self._reader.restore(facts["files"]):
                self.table = table
                self._add_study_events(facts["of_the_study"])
                return

    def keep(self) -> None:
        """Keep what was read for later commands, if reading it again would take longer than that."""
        if self._bytes_read < _WORTH_KEEPING_BYTES and self._reader.files_opened < _WORTH_KEEPING_FILES:
            return
        facts = {"form": _FORM, "files": self._reader.state(), "of_the_study": self._study_events}
        keep(self._study, "events", facts | {"kinds": self.table.kinds_json()}, self.table.columns())
        self._bytes_read = self._reader.files_opened = 0

    def read_new(self) -> Iterator[tuple[str | None, Event]]:
        """Read the events that were appended since the last call, and yield each with its job; None for the study."""
        return self._add(self._reader.read_lines())

    def read_past_caches(self) -> Iterator[tuple[str | None, Event]]:
        """Do as `read_new`, past what this machine has of the files in memory."""
        return self._add(self._reader.read_past_caches())

    def _add(self, lines: Iterable[EventLine]) -> Iterator[tuple[str | None, Event]]:
        add = self.table.add
        for event, file, start, length in lines:
            if "job" in event and "jobs" not in event:
                self._bytes_read += length
                add(event["job"], event, event["n"], file, start, length)
                yield event["job"], event
                continue
            self._bytes_read += length
            if event["e"] in OF_THE_STUDY:
                self._add_study_events([event])
                yield None, event
                continue
            for job, one in _of_each_job(event):
                add(job, one, one["n"], file, start, length)
                yield job, one

    def _add_study_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self._study_events.append(event)
            (self.throttle if event["e"] == "throttled" else self.gpu_shares).add_event(event)

    # --- events that were read, again ---------------------------------------------------------------------------------

    def events_of(self, job: str) -> list[Event]:
        """Return the events of a job, in the order of their times."""
        links = self.table.links(self.table.row(job))
        places = dict.fromkeys(map(self.table.place, links))
        return sorted((event for place in places for event in self._events_at(job, place)), key=lambda one: one["t"])

    def latest_event(self, job: str) -> Event | None:
        """Return the event that decides the state of a job's latest attempt; None if it was never tried."""
        return self._decisive_event(self.table.row(job))

    def _decisive_event(self, row: int) -> Event | None:
        table = self.table
        if row == NOBODY or table.decisive[row] < 0:
            return None
        sought = table.attempts[row], table.ranks[row], table.times[row]
        events = self._events_at(table.ids[row], table.place(table.decisive[row]))
        return next(event for event in events if table.key_of(event) == sought)

    def latest_time(self) -> float:
        """Return when the latest of the events was that decide the states of jobs; 0 if there is none."""
        decided = (time for time, rank in zip(self.table.times, self.table.ranks, strict=True) if rank >= 0)
        return max(decided, default=0.0)

    def done_events(self) -> Iterator[tuple[str, Event]]:
        """Yield each job whose latest attempt is done, with that event."""
        done = [row for row, rank in enumerate(self.table.ranks) if rank == DONE]
        for row in done:
            event = self._decisive_event(row)
            assert event is not None
            yield self.table.ids[row], event

    def ever_cancelled(self) -> list[str]:
        """Return the jobs that a person has cancelled at any time."""
        if not any(self.table.was_cancelled):
            return []
        return [job for job, was in zip(self.table.ids, self.table.was_cancelled, strict=True) if was]

    def _events_at(self, job: str, place: tuple[int, int, int]) -> list[Event]:
        """The events of a job on one line. Those of a line for many jobs share what they hold."""
        file, start, length = place
        line = self._of_many_jobs.get((file, start))
        if line is None:
            line = read_line(self._read(file, start, length))
            if any("jobs" in event for event in line):
                self._of_many_jobs[file, start] = line
        found = [_of_job(event, job) for event in line]
        events = [event for event in found if event is not None]
        if not events:
            raise self._changed(file)
        return events

    def _read(self, file: int, start: int, length: int) -> bytes:
        try:
            data = try_again(partial(self._read_at, file, start, length), self._path(file))
        except FileNotFoundError:
            raise self._changed(file) from None
        if len(data) < length:
            raise self._changed(file)
        return data

    def _read_at(self, file: int, start: int, length: int) -> bytes:
        handle = self._open.get(file)
        if handle is None:
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
            handle = self._open[file] = os.open(self._path(file), os.O_RDONLY)
        try:
            return os.pread(handle, length, start)
        except OSError:
            # A handle may be stale for good.
            os.close(self._open.pop(file))
            raise

    def _path(self, file: int) -> str:
        return f"{self._folder}/{self._reader.names[file]}"

    def _changed(self, file: int) -> DamagedFileError:
        return DamagedFileError(f"{self._path(file)}: was changed or removed while it was read; run the command again")

    def __del__(self) -> None:
        for handle in self._open.values():
            os.close(handle)


def _of_each_job(event: Event) -> Iterator[tuple[str, Event]]:
    for job, attempt in event["jobs"].items():
        yield job, {**event, "n": attempt}


def _of_job(event: Event, job: str) -> Event | None:
    """An event as one of a job; None if it is none of the job."""
    if "jobs" in event:
        return {**event, "n": event["jobs"][job]} if job in event["jobs"] else None
    return event if event.get("job") == job else None
