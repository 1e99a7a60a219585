"""The events of a study: what happened, as lines that are appended and never changed. States follow from them alone.

Each process that records events appends them to a file of its own under ``events/``. Readers read all files. A line
that is not complete yet (because its writer is just writing it, or died while writing) is left for the next reading. A
damaged line is skipped: claims and the result store show how far an attempt came, and at worst the job runs again.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

from seedfold.orchestrator.ledger.atomic_files import JsonLinesAppender
from seedfold.orchestrator.ledger.gpu_shares import is_gpu_share
from seedfold.orchestrator.ledger.holds import is_hold
from seedfold.orchestrator.ledger.past_caches import longest_cache_s, look_past_caches, read_past_caches
from seedfold.orchestrator.ledger.throttle import is_throttle
from seedfold.results.store.passing_errors import try_again

Event = dict[str, Any]
"""``{"e": kind, "t": seconds since the epoch, …}``. Kinds: started, done, failed, interrupted, paused, blocked,
cancelled, resumed, promoted, held, released, throttled, gpu_share. The last two are of the study, and name no jobs."""

OF_THE_STUDY = frozenset({"throttled", "gpu_share"})

_GAP_S = 0.001
_PART_BYTES = 1 << 21
"""How much of a file is read and parsed at a time."""
_END_BYTES = 4096
_SIZE = 1
"""The place of the size of a file in its mark."""
_SETTLED_S = 60.0
"""After how long the time of a file tells whether it was changed again, although clocks differ and are coarse."""
_REST_S = 600.0
"""After how long the files of ended writers are looked at again. One that was taken for dead may have come back."""
_MOST_ATTEMPTS, _MOST_S = 1 << 31, 1e15


def time_after(earlier: Iterable[float]) -> float:
    """Return the time for an event that ends others: now, but later than they are, even if clocks of hosts differ."""
    return round(max([time.time(), *(one + _GAP_S for one in earlier)]), 3)


class EventWriter:
    """Records events. No file is created before the first event."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        """``prefix`` is how the name of the file begins."""
        name = f"{prefix}{os.uname().nodename}-{os.getpid()}-{time.time_ns()}-{os.urandom(3).hex()}.jsonl"
        self._file = JsonLinesAppender(folder / name)

    def append(self, event_kind: str, /, **details: Any) -> Event:
        """Append one event; when this returns it is on disk."""
        event = {"e": event_kind, "t": round(time.time(), 3), **details}
        self._file.append(event)
        return event

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class EventLine(NamedTuple):
    """An event, and the line that it is on: the number of its file, and the bytes of the line."""

    event: Event
    file: int
    start: int
    length: int


class EventReader:
    """Reads new events: each call of `read_new` returns the events since the last call, in the order of their times.

    `read_lines` does the same for those who do not need the order, a part of a file at a time.
    """

    def __init__(
        self,
        folder: Path,
        has_file: Callable[[str], bool] | None = None,
        is_ended: Callable[[str], bool] | None = None,
    ) -> None:
        """``has_file`` says which files are read, by their names; all of them by default.

        ``is_ended`` says of which files the writers have ended: these are looked at again only now and then.
        """
        self.folder = folder
        self._has_file = has_file or (lambda name: True)
        self._is_ended = is_ended or (lambda name: False)
        self._ended_since: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}
        self.files_opened = 0
        """How many files were opened that need not be opened again if what was read of them is kept now."""
        self.names: list[str] = []
        """The files that have events, by their numbers."""
        self._numbers: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._ends: dict[str, tuple[int, int]] = {}
        """How many bytes before the offset have which checksum."""
        self._marks: dict[str, tuple[int, int, int, int]] = {}
        """What changes with a file: its number in the file system, its size, and when it was changed last."""
        self.damaged_lines: Counter[str] = Counter()
        """Lines that could not be read, by the name of their file."""

    def read_new(self) -> list[Event]:
        """Return the events that were appended since the last call."""
        return sorted((line.event for line in self.read_lines()), key=itemgetter("t"))

    def read_lines(self) -> Iterator[EventLine]:
        """Yield the events that were appended since the last call, and where they are."""
        for name, size in self._files():
            yield from self._read_file(name, size)

    def read_past_caches(self) -> Iterator[EventLine]:
        """Do as `read_lines`, past what this machine has of the files in memory."""
        look_past_caches(self.folder)
        for name, _ in self._files():
            length, checksum = self._ends.get(name, (0, 0))
            data = read_past_caches(self.folder / name, self._offsets.get(name, 0) - length)
            if zlib.crc32(data[:length]) != checksum:
                # It is another file than the one that was read, or that was kept of it.
                self._offsets[name], length = 0, 0
                data = read_past_caches(self.folder / name, 0)
            yield from self._add_lines(name, data[length:])

    def _files(self) -> list[tuple[str, int]]:
        """The names and the sizes of the files."""
        try:
            return try_again(self._list_files, self.folder)
        except FileNotFoundError:
            return []

    def _list_files(self) -> list[tuple[str, int]]:
        listed = (entry for entry in os.scandir(self.folder) if entry.name.endswith(".jsonl"))
        found = {}
        for entry in listed:
            if self._rests_until.get(entry.name, 0.0) > time.monotonic():
                found[entry.name] = self._marks[entry.name]
            elif self._has_file(entry.name) and entry.is_file():
                status = entry.stat()
                # Many studies have a file for each task: a whole status of each would be most of what is in memory.
                found[entry.name] = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                self._let_rest(entry.name)
        self._marks = found
        return sorted((name, mark[_SIZE]) for name, mark in found.items())

    def _let_rest(self, name: str) -> None:
        """Have a file not be looked at for a while, if what was seen of it was surely seen after its writer's end."""
        if self._is_ended(name):
            now = time.monotonic()
            if now - self._ended_since.setdefault(name, now) >= longest_cache_s(self.folder):
                self._rests_until[name] = now + _REST_S

    def _read_file(self, name: str, size: int) -> Iterator[EventLine]:
        """Yield the events of the lines that are complete, a part of the file at a time."""
        length = _PART_BYTES
        self.files_opened += self._offsets.get(name, 0) < size
        while (start := self._offsets.get(name, 0)) < size:
            end = min(size, start + length)
            yield from self._add_lines(name, try_again(partial(self._read_bytes, name, start, end), self.folder / name))
            if self._offsets.get(name, 0) == start:
                if end == size:
                    return
                length *= 2

    def _read_bytes(self, name: str, start: int, end: int) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _add_lines(self, name: str, data: bytes) -> list[EventLine]:
        """Return the events of those lines that are complete."""
        start = self._offsets.get(name, 0)
        complete = data.rfind(b"\n") + 1
        if not complete:
            return []
        lines = data[:complete].split(b"\n")[:-1]
        try:
            found = _parse_lines(data[:complete])
        except (ValueError, RecursionError):
            found = []
        # As many values as lines: each is on a line of its own.
        parsed = [[event] for event in found] if len(found) == len(lines) else self._parse_undamaged(name, lines)
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        number, sound = self._numbers[name], list[EventLine]()
        place = start
        for line, events in zip(lines, parsed, strict=True):
            length = len(line) + 1
            for event in events:
                if is_event(event):
                    sound.append(EventLine(event, number, place, length))
                else:
                    self.damaged_lines[name] += 1
            place += length
        self._offsets[name] = place
        end = data[max(0, complete - _END_BYTES) : complete]
        self._ends[name] = len(end), zlib.crc32(end)
        return sound

    def _parse_undamaged(self, name: str, lines: Iterable[bytes]) -> list[list[Event]]:
        parsed: list[list[Event]] = []
        for line in lines:
            try:
                parsed.append(_parse_lines(line))
            except (ValueError, RecursionError):
                self.damaged_lines[name] += 1
                parsed.append([])
        return parsed

    # --- what is kept for later commands ------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return how far the files were read, as JSON."""
        files = [[name, self._offsets[name], self._ends[name], self._settled_mark(name)] for name in self.names]
        return {"files": files, "damaged": dict(+self.damaged_lines)}

    def _mark(self, name: str) -> list[int]:
        """The mark of a file; empty if there is none."""
        return list(self._marks.get(name, ()))

    def _settled_mark(self, name: str) -> list[int]:
        """The mark of a file, without its times if it was changed a moment ago: it may change once more with them."""
        mark = self._mark(name)
        return mark if mark and mark[-1] < (time.time() - _SETTLED_S) * 1e9 else mark[:1]

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Go on where another reader had stopped. Returns False, and changes nothing, if the files are not the same.

        A file that has not changed since is not opened. Of one that has grown, the last bytes that were read are
        compared. If one was replaced, cut or removed, all are to be read again.
        """
        self._files()
        if not all(self._is_same(*file) for file in state["files"]):
            return False
        for number, (name, offset, end, _) in enumerate(state["files"]):
            self.names.append(name)
            self._numbers[name], self._offsets[name], self._ends[name] = number, offset, tuple(end)
        self.damaged_lines.update(state["damaged"])
        return True

    def _is_same(self, name: str, offset: int, end: tuple[int, int], mark: Sequence[int]) -> bool:
        """Whether a file begins with what was read of it."""
        now = self._mark(name)
        if not now or not mark or now[0] != mark[0] or now[_SIZE] < offset:
            return False
        if now == mark:
            return True
        self.files_opened += self._settled_mark(name) != mark[:1]
        length, checksum = end
        data = try_again(partial(self._read_bytes, name, offset - length, offset), self.folder / name)
        return zlib.crc32(data) == checksum


_DETAILS: Mapping[str, Mapping[str, type]] = {
    "started": {"process": dict},
    "done": {"files": dict, "parents": dict},
    "failed": {"reason": str},
    "interrupted": {"reason": str},
    "paused": {"epochs": int, "metrics": dict},
    "blocked": {"reason": str},
    "cancelled": {},
    "resumed": {},
    "promoted": {},
    "held": {},
    "released": {},
    "throttled": {"jobs": dict},
    "gpu_share": {"jobs": dict},
}
"""What each kind of event has besides its time, its job and the number of the attempt."""


_DONE_FIELDS = {"seconds", "reads", "code"}
_FILE_FIELDS = {"bytes", "sha256", "mtime_ns"}


def is_event(event: Any) -> bool:
    """Whether a JSON value is an event that this version writes, or an earlier one has written."""
    if type(event) is not dict:
        return False
    kind: Any = event.get("e")
    time_s: Any = event.get("t")
    details = _DETAILS.get(kind) if type(kind) is str else None
    if details is None or type(time_s) not in (int, float) or not -_MOST_S < time_s < _MOST_S:
        return False
    if "jobs" in event:
        attempts = event["jobs"]
        has_jobs = type(attempts) is dict and all(map(_is_attempt, attempts.values()))
    else:
        has_jobs = type(event.get("job")) is str and _is_attempt(event.get("n"))
    if not has_jobs or not all(type(event.get(name)) is expected for name, expected in details.items()):
        return False
    # Looked at without a loop of its own for each field: a study has many thousands of events.
    if kind == "held":
        return is_hold(event)
    if kind == "throttled":
        return is_throttle(event)
    if kind == "gpu_share":
        return is_gpu_share(event)
    if kind != "done":
        return True
    known = event.keys() >= _DONE_FIELDS and type(event["seconds"]) in (int, float) and abs(event["seconds"]) < _MOST_S
    return known and all(type(record) is dict and record.keys() >= _FILE_FIELDS for record in event["files"].values())


def read_line(line: bytes) -> list[Event]:
    """Return the events on one line that is complete."""
    try:
        return list(filter(is_event, _parse_lines(line)))
    except (ValueError, RecursionError):
        return []


def _is_attempt(number: Any) -> bool:
    return type(number) is int and 0 <= number < _MOST_ATTEMPTS


def _parse_lines(lines: bytes) -> list[Event]:
    """Parse lines of JSON as one array, which is several times faster than one after the other."""
    return cast("list[Event]", json.loads(b"[%b]" % lines.strip().replace(b"\n", b",")))
