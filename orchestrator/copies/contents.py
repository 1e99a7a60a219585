"""Which files of a study a copy has, listed in an order that keeps them consistent while jobs of the study run.

A worker writes in this order: it publishes a result, records it as an event, and records that its task has ended. So
ends of tasks are listed first, then events, then results: if the end of a task is listed, all its events are listed
too, and the results of these events exist. Submissions and claims are listed last, so that those of all listed events
exist.

The files of a copy are written in the same order, except that events are written last: if the fetch is killed, no event
refers to a result that has not been fetched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.published import RESULT_FILE

_TASK_OVER = ".over"
_COMPLETION_FILES = (RESULT_FILE, "fit.json")
_LOG_PREFIX = "log."


class FileEntry(NamedTuple):
    """A file, by its name under the study's folder. A file that ``grows`` is only appended to."""

    name: str
    size: int
    mtime_ns: int
    append_only: bool


@dataclass(frozen=True)
class StudyContents:
    """The files of a study that a copy has; checkpoints only if ``with_checkpoints``."""

    study: StudyFolder
    with_checkpoints: bool = False

    def list_entries(self) -> list[FileEntry]:
        """List the files in the order in which they have to be written."""
        ended_tasks = {entry.name for entry in self._list_submissions() if entry.name.endswith(_TASK_OVER)}
        events = [_without_partial_line(self.study.path, entry) for entry in self._list_files("events", grows=True)]
        submissions = [
            one for one in self._list_submissions() if not one.name.endswith(_TASK_OVER) or one.name in ended_tasks
        ]
        return [
            *self._list_files("search"),
            *self._list_files("plans"),
            *_completion_files_last(self._list_files("store")),
            *self._list_code(),
            *_completion_files_last(self._list_jobs()),
            *submissions,
            *self._list_files("claims"),
            *events,
        ]

    def _list_files(self, folder: str, grows: bool = False) -> Iterator[FileEntry]:
        yield from _walk_files(self.study.path, folder, grows)

    def _list_submissions(self) -> Iterator[FileEntry]:
        for entry in self._list_files("submissions"):
            if not entry.name.endswith((".pkl", ".sh")):
                yield entry._replace(append_only=entry.name.endswith((".log", ".out", ".err")))

    def _list_code(self) -> Iterator[FileEntry]:
        """The records about the code, without the code itself."""
        for pattern in ("*.json", "accepted/*.json"):
            for file in sorted((self.study.path / "code").glob(pattern)):
                yield from _read_entry(self.study.path, file.relative_to(self.study.path).as_posix())
        for file in sorted((self.study.path / "code" / "snapshots").glob("*/*")):
            if file.suffix in {".json", ".diff"} and not file.parent.name.startswith("."):
                yield from _read_entry(self.study.path, file.relative_to(self.study.path).as_posix())

    def _list_jobs(self) -> Iterator[FileEntry]:
        for entry in self._list_files("jobs"):
            name_in_job = "/".join(entry.name.split("/")[3:])
            if name_in_job.startswith(_LOG_PREFIX):
                yield entry._replace(append_only=True)
            elif self.with_checkpoints and name_in_job and not name_in_job.startswith("staging."):
                yield entry


def _walk_files(study_folder: Path, folder: str, append_only: bool = False) -> Iterator[FileEntry]:
    """Every regular file. Hidden files are left out, because they are being written."""
    try:
        folder_entries = sorted(os.scandir(study_folder / folder), key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in folder_entries:
        name = f"{folder}/{one.name}"
        if one.name.startswith("."):
            continue
        if one.is_dir(follow_symlinks=False):
            yield from _walk_files(study_folder, name, append_only)
        elif one.is_file(follow_symlinks=False):
            yield from _read_entry(study_folder, name, append_only)


def _read_entry(study_folder: Path, name: str, append_only: bool = False) -> Iterator[FileEntry]:
    try:
        status = (study_folder / name).stat()
    except FileNotFoundError:
        # The file was deleted after it was listed.
        return
    yield FileEntry(name, status.st_size, status.st_mtime_ns, append_only)


def _completion_files_last(entries: Iterator[FileEntry]) -> list[FileEntry]:
    """Move the file that marks a folder as complete behind the other files of the folder."""
    return sorted(
        entries, key=lambda one: (one.name.rpartition("/")[0], one.name.rpartition("/")[2] in _COMPLETION_FILES)
    )


def _without_partial_line(study_folder: Path, entry: FileEntry) -> FileEntry:
    """Leave out an incomplete last line, which its writer may still change."""
    with (study_folder / entry.name).open("rb") as file:
        size = entry.size
        while size:
            begin = max(0, size - 4096)
            file.seek(begin)
            last = file.read(size - begin).rfind(b"\n")
            if last >= 0:
                return entry._replace(size=begin + last + 1)
            size = begin
    return entry._replace(size=0)
