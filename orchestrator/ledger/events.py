"""The events of a study: what happened, as lines that are appended and never changed. States follow from them alone.

Each process that records events appends them to a file of its own under ``events/``. Readers read all files. A line
that is not complete yet (because its writer is just writing it, or died while writing) is left for the next reading. A
damaged line is skipped: claims and the result store show how far an attempt came, and at worst the job runs again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from seedfold.orchestrator.ledger.atomic_files import JsonLinesAppender
from seedfold.orchestrator.ledger.holds import is_hold
from seedfold.orchestrator.ledger.past_caches import look_past_caches, read_past_caches
from seedfold.orchestrator.ledger.throttle import is_throttle
from seedfold.results.store.passing_errors import try_again

Event = dict[str, Any]
"""``{"e": kind, "t": seconds since the epoch, …}``. Kinds: started, done, failed, interrupted, paused, blocked,
cancelled, resumed, promoted, held, released, throttled."""

_GAP_S = 0.001


def time_after(earlier: Iterable[float]) -> float:
    """Return the time for an event that ends others: now, but later than they are, even if clocks of hosts differ."""
    return round(max([time.time(), *(one + _GAP_S for one in earlier)]), 3)


class EventWriter:
    """Records events. No file is created before the first event."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}-{os.urandom(3).hex()}.jsonl"
        self._file = JsonLinesAppender(folder / name)

    def append(self, event_kind: str, /, **details: Any) -> Event:
        """Append one event; when this returns it is on disk."""
        event = {"e": event_kind, "t": round(time.time(), 3), **details}
        self._file.append(event)
        return event

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class EventReader:
    """Reads new events: each call of `read_new` returns the events since the last call, in the order of their times."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[str, int] = {}
        self._read: list[Event] = []
        self.damaged_lines: Counter[str] = Counter()
        """Lines that could not be read, by the name of their file."""

    def read_new(self) -> list[Event]:
        """Return the events that were appended since the last call."""
        for name, size in self._files():
            if size > self._offsets.get(name, 0):
                self._add_lines(name, try_again(partial(self._read_bytes, name, size), self._folder / name))
        return self._take()

    def read_past_caches(self) -> list[Event]:
        """Do as `read_new`, past what this machine has of the files in memory."""
        look_past_caches(self._folder)
        for name, _ in self._files():
            self._add_lines(name, read_past_caches(self._folder / name, self._offsets.get(name, 0)))
        return self._take()

    def _take(self) -> list[Event]:
        """The events that were read: only now, so that none is lost if a file after its own could not be read."""
        events, self._read = sorted(self._read, key=itemgetter("t")), []
        return events

    def _files(self) -> list[tuple[str, int]]:
        """The names and the sizes of the files."""
        try:
            return try_again(self._list_files, self._folder)
        except FileNotFoundError:
            return []

    def _list_files(self) -> list[tuple[str, int]]:
        entries = (entry for entry in os.scandir(self._folder) if entry.name.endswith(".jsonl") and entry.is_file())
        return [(entry.name, entry.stat().st_size) for entry in entries]

    def _read_bytes(self, name: str, size: int) -> bytes:
        start = self._offsets.get(name, 0)
        with (self._folder / name).open("rb") as file:
            file.seek(start)
            return file.read(size - start)

    def _add_lines(self, name: str, data: bytes) -> None:
        """Add the events of those lines that are complete."""
        start = self._offsets.get(name, 0)
        complete = data.rfind(b"\n") + 1
        self._offsets[name] = start + complete
        try:
            events = _parse_lines(data[:complete])
        except (ValueError, RecursionError):
            events = list(self._parse_undamaged(name, data[:complete]))
        sound = list(filter(is_event, events))
        self.damaged_lines[name] += len(events) - len(sound)
        self._read += sound

    def _parse_undamaged(self, name: str, lines: bytes) -> Iterator[Event]:
        for line in lines.strip().split(b"\n"):
            try:
                yield from _parse_lines(line)
            except (ValueError, RecursionError):
                self.damaged_lines[name] += 1


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
}
"""What each kind of event has besides its time, its job and the number of the attempt."""


_DONE_FIELDS = {"seconds", "reads", "code"}
_FILE_FIELDS = {"bytes", "sha256", "mtime_ns"}


def is_event(event: Any) -> bool:
    """Whether a JSON value is an event that this version writes, or an earlier one has written."""
    if type(event) is not dict:
        return False
    kind, time_s = event.get("e"), event.get("t")
    details = _DETAILS.get(kind) if type(kind) is str else None
    if details is None or time_s is None or type(time_s) not in (int, float) or not isfinite(time_s):
        return False
    if "jobs" in event:
        attempts = event["jobs"]
        has_jobs = type(attempts) is dict and all(type(number) is int for number in attempts.values())
    else:
        has_jobs = type(event.get("job")) is str and type(event.get("n")) is int
    if not has_jobs or not all(type(event.get(name)) is expected for name, expected in details.items()):
        return False
    # Looked at without a loop of its own for each field: a study has many thousands of events.
    if kind == "held":
        return is_hold(event)
    if kind == "throttled":
        return is_throttle(event)
    if kind != "done":
        return True
    known = event.keys() >= _DONE_FIELDS and isinstance(event["seconds"], int | float)
    return known and all(type(record) is dict and record.keys() >= _FILE_FIELDS for record in event["files"].values())


def _parse_lines(lines: bytes) -> list[Event]:
    """Parse lines of JSON as one array, which is several times faster than one after the other."""
    return cast("list[Event]", json.loads(b"[%b]" % lines.strip().replace(b"\n", b",")))
