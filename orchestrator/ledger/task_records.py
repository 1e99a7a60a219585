"""The tasks of a submission, and what each worker and the scheduler have said of them.

``tasks/INDEX.RESTART`` is created once, by the worker that sits in task INDEX after its RESTARTth requeue, with its
process; touching it is its sign of life. ``tasks/INDEX.RESTART.over`` is created once, by that worker or by whoever
learnt it from the scheduler, when the task has ended for good. Nothing else is ever written, so a listing of names
tells which tasks are over.
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
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity

_FILE_NAME = re.compile(r"(\d+)\.(\d+)(\.over)?")
_NEVER = -1


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What the names of the files say of one task: its latest start and its latest end, -1 where there is none."""

    last_start: int = _NEVER
    last_end: int = _NEVER

    @property
    def is_over(self) -> bool:
        """Whether the task has ended and not started again since."""
        return self.last_end >= max(self.last_start, 0)


class TaskRecords:
    """The marks of one submission."""

    def __init__(self, submission: Path) -> None:
        self._folder = submission / "tasks"

    def record_start(self, index: int, restart: int) -> bool:
        """Sit down in a task as the calling process; False if somebody has, or if the task is over."""
        if self.record_of(index).last_end >= restart:
            return False
        return create_once(self._start_file(index, restart), json.dumps(ProcessIdentity.current().to_dict()))

    def record_heartbeat(self, index: int, restart: int) -> None:
        """Give a sign of life."""
        self._start_file(index, restart).touch()

    def record_end(self, index: int, restart: int, /, **details: Any) -> bool:
        """Say, once, that a task has ended for good, and why."""
        return create_once(self._folder / f"{index}.{restart}.over", json.dumps(details))

    def end_details(self, index: int) -> Mapping[str, Any]:
        """What was said of the task's end."""
        ended = self.record_of(index).last_end
        record: dict[str, Any] = json.loads((self._folder / f"{index}.{ended}.over").read_text(encoding="utf-8"))
        return record

    def worker_process(self, index: int) -> ProcessIdentity | None:
        """The process that sat down last; None if none has yet."""
        started = self.record_of(index).last_start
        if started == _NEVER:
            return None
        return ProcessIdentity(**json.loads(self._start_file(index, started).read_text()))

    def last_heartbeat(self, index: int) -> float | None:
        """When the task's latest worker gave its last sign of life, in seconds since the epoch; None if never."""
        started = self.record_of(index).last_start
        return None if started == _NEVER else self._start_file(index, started).stat().st_mtime

    def record_of(self, index: int) -> TaskRecord:
        """What is known of one task."""
        return self.records().get(index, TaskRecord())

    def records(self) -> dict[int, TaskRecord]:
        """What is known of every task that has begun or ended."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208
        except FileNotFoundError:
            return {}
        return _parse_file_names(names)

    def _start_file(self, index: int, restart: int) -> Path:
        return self._folder / f"{index}.{restart}"


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
