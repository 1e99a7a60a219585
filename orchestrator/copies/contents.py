"""Which files of a study a copy holds, seen in an order in which they agree while the study is worked on.

What a worker does, it does in this order: it publishes a result, tells of it as an event, and says that its task is
over. So ends of tasks are looked at first, then events, then results: a task that is over has told all, and what is
told to be done is there. Submissions and claims come last, as those of every event that was seen.

A copy writes in this order, too, but for the events, which come last of all: killed at any moment, it does not claim a
result that has not come yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.published import RESULT

_OVER = ".over"
_LATE = (RESULT, "fit.json")
_LOG = "log."


class Entry(NamedTuple):
    """A file by its name under the study's folder; one that ``grows`` is only ever appended to."""

    name: str
    size: int
    mtime_ns: int
    grows: bool


@dataclass(frozen=True)
class Contents:
    """The files of a study for a copy, with its ``checkpoints`` or without."""

    study: StudyFolder
    checkpoints: bool = False

    def entries(self) -> list[Entry]:
        """List them in the order in which they are to be written."""
        over = {entry.name for entry in self._submissions() if entry.name.endswith(_OVER)}
        events = [_whole_lines(self.study.path, entry) for entry in self._files("events", grows=True)]
        submissions = [one for one in self._submissions() if not one.name.endswith(_OVER) or one.name in over]
        return [
            *self._files("plans"),
            *_late_last(self._files("store")),
            *self._code(),
            *_late_last(self._jobs()),
            *submissions,
            *self._files("claims"),
            *events,
        ]

    def _files(self, folder: str, grows: bool = False) -> Iterator[Entry]:
        yield from _walk(self.study.path, folder, grows)

    def _submissions(self) -> Iterator[Entry]:
        for entry in self._files("submissions"):
            if not entry.name.endswith((".pkl", ".sh")):
                yield entry._replace(grows=entry.name.endswith((".log", ".out", ".err")))

    def _code(self) -> Iterator[Entry]:
        """What is known of the code, without the code."""
        for file in sorted((self.study.path / "code").glob("*.json")):
            yield from _entry(self.study.path, f"code/{file.name}")
        for file in sorted((self.study.path / "code" / "snapshots").glob("*/*")):
            if file.suffix in {".json", ".diff"} and not file.parent.name.startswith("."):
                yield from _entry(self.study.path, file.relative_to(self.study.path).as_posix())

    def _jobs(self) -> Iterator[Entry]:
        for entry in self._files("jobs"):
            inner = "/".join(entry.name.split("/")[3:])
            if inner.startswith(_LOG):
                yield entry._replace(grows=True)
            elif self.checkpoints and inner and not inner.startswith("staging."):
                yield entry


def _walk(top: Path, folder: str, grows: bool = False) -> Iterator[Entry]:
    """Every plain file, whole: what is hidden is being written."""
    try:
        listed = sorted(os.scandir(top / folder), key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in listed:
        name = f"{folder}/{one.name}"
        if one.name.startswith("."):
            continue
        if one.is_dir(follow_symlinks=False):
            yield from _walk(top, name, grows)
        elif one.is_file(follow_symlinks=False):
            yield from _entry(top, name, grows)


def _entry(top: Path, name: str, grows: bool = False) -> Iterator[Entry]:
    try:
        status = (top / name).stat()
    except FileNotFoundError:
        # Gone since it was listed.
        return
    yield Entry(name, status.st_size, status.st_mtime_ns, grows)


def _late_last(entries: Iterator[Entry]) -> list[Entry]:
    """Have what says that a folder is whole behind the rest of it."""
    return sorted(entries, key=lambda one: (one.name.rpartition("/")[0], one.name.rpartition("/")[2] in _LATE))


def _whole_lines(top: Path, entry: Entry) -> Entry:
    """Leave out a line that its writer is in the middle of, and may take back."""
    with (top / entry.name).open("rb") as file:
        size = entry.size
        while size:
            begin = max(0, size - 4096)
            file.seek(begin)
            last = file.read(size - begin).rfind(b"\n")
            if last >= 0:
                return entry._replace(size=begin + last + 1)
            size = begin
    return entry._replace(size=0)
