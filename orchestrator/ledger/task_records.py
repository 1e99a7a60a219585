"""The tasks of a submission: what their workers and the scheduler have recorded of them.

``tasks/INDEX.RESTART`` is created once, with the identity of its process, by the worker that runs in task INDEX after
requeue number RESTART. The worker touches this file as its heartbeat. ``tasks/INDEX.RESTART.over`` is created once,
when the task has ended for good, by that worker or by a process that learned it from the scheduler. No other file is
written, so a list of the names shows which tasks have ended.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.damaged_files import naming_damaged_file, read_record
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.results.store.passing_errors import try_again

_FILE_NAME = re.compile(r"(\d+)\.(\d+)(\.over)?")
_NEVER = -1
_REMEDY = "remove the folder of this submission; its jobs are then waiting, and seedfold resume STUDY starts them"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task according to the names of the files: its latest start and its latest end, -1 if there is none."""

    last_start: int = _NEVER
    last_end: int = _NEVER

    @property
    def is_over(self) -> bool:
        """Whether the task has ended and not started again since."""
        return self.last_end >= max(self.last_start, 0)


class TaskRecords:
    """The records of the tasks of one submission."""

    def __init__(self, submission: Path) -> None:
        self.folder = submission / "tasks"

    def record_start(self, index: int, restart: int) -> bool:
        """Record the calling process as the worker of a task; False if the task has a worker already, or has ended."""
        if self.record_of(index).last_end >= restart:
            return False
        return create_once(self._start_file(index, restart), json.dumps(ProcessIdentity.current().to_dict()))

    def record_heartbeat(self, index: int, restart: int) -> float:
        """Record a heartbeat; return how many seconds the last one was ago, by the clock of the file system."""
        file = self._start_file(index, restart)
        before = _time_of(file)
        try_again(file.touch, file)
        return _time_of(file) - before

    def record_end(self, index: int, restart: int, /, **details: Any) -> bool:
        """Record, once, that a task has ended for good, and why."""
        return create_once(self.folder / f"{index}.{restart}.over", json.dumps(details))

    def end_details(self, index: int) -> Mapping[str, Any]:
        """What was recorded of the end of a task."""
        ended = self.record_of(index).last_end
        return read_record(self.folder / f"{index}.{ended}.over", _REMEDY)

    def worker_process(self, index: int) -> ProcessIdentity | None:
        """The process of the latest worker of a task; None if there was none yet."""
        started = self.record_of(index).last_start
        if started == _NEVER:
            return None
        file = self._start_file(index, started)
        with naming_damaged_file(file, _REMEDY):
            return ProcessIdentity.from_dict(read_record(file, _REMEDY))

    def last_heartbeat(self, index: int) -> float | None:
        """The time of the last heartbeat of the task's latest worker, in seconds since the epoch.

        None if there was none.
        """
        started = self.record_of(index).last_start
        return None if started == _NEVER else _time_of(self._start_file(index, started))

    def last_change(self, index: int) -> float | None:
        """The time of the last heartbeat or the recorded end of a task, whichever is later; None if there is neither.

        In seconds since the epoch, by the clock of the file system.
        """
        record = self.record_of(index)
        files = [self._start_file(index, record.last_start)] if record.last_start != _NEVER else []
        files += [self.folder / f"{index}.{record.last_end}.over"] if record.last_end != _NEVER else []
        return max(map(_time_of, files), default=None)

    def record_of(self, index: int) -> TaskRecord:
        """The record of one task."""
        return self.records().get(index, TaskRecord())

    def records(self) -> dict[int, TaskRecord]:
        """The records of all tasks that have begun or ended."""
        try:
            names = try_again(lambda: os.listdir(self.folder), self.folder)  # noqa: PTH208
        except FileNotFoundError:
            return {}
        return _parse_file_names(names)

    def _start_file(self, index: int, restart: int) -> Path:
        return self.folder / f"{index}.{restart}"


def _time_of(file: Path) -> float:
    return try_again(file.stat, file).st_mtime


def _parse_file_names(names: list[str]) -> dict[int, TaskRecord]:
    restarts_of_task: dict[int, tuple[int, int]] = {}
    for name in names:
        match = _FILE_NAME.fullmatch(name)
        if match is None:
            continue
        index, restart = int(match[1]), int(match[2])
        started, ended = restarts_of_task.get(index, (_NEVER, _NEVER))
        restarts_of_task[index] = (started, max(ended, restart)) if match[3] else (max(started, restart), ended)
    return {index: TaskRecord(*times) for index, times in restarts_of_task.items()}
