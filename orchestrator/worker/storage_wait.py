"""What a worker does while the file system of the root is full or away: it waits, says so, and goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from seedfold.orchestrator.ledger.events import Event, EventWriter
from seedfold.orchestrator.ledger.slot_waits import record_full_disk
from seedfold.orchestrator.settings.failures import Failure
from seedfold.orchestrator.worker.log_lines import say
from seedfold.results.store.atomic_files import remove_temporary
from seedfold.results.store.passing_errors import FULL_DISK_ERRNOS, restore_patience, storage_error

T = TypeVar("T")
ROOM_BYTES = 4 * 1024**2
"""What must fit on the disk before jobs are started again."""
_LITTLE_BYTES = 64 * 1024
_LOOK_EVERY_S = 5.0
_PAUSE_S = 1.0


def has_room(folder: Path, size: int = ROOM_BYTES) -> bool:
    """Whether so many bytes can be written below a folder; they are removed again."""
    probe = folder / f".room-{os.urandom(6).hex()}"
    try:
        with probe.open("xb") as file:
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno not in FULL_DISK_ERRNOS
    finally:
        remove_temporary(probe)
    return True


def blame_full_disk(failure: Failure, folder: Path) -> Failure:
    """Return the failure of a job, of the kind ``disk`` if there is no room in a folder.

    Many programs and libraries do not say why they could not write.
    """
    if failure.kind != "error" or has_room(folder, _LITTLE_BYTES):
        return failure
    return replace(failure, kind="disk", reason=f"the disk of the root is full; {failure.reason}")


class StorageWait:
    """Waits in the name of the worker of the submission in ``folder``.

    Meanwhile it calls ``beat``, and it waits no longer once ``may_wait`` is false.
    """

    def __init__(self, folder: Path, beat: Callable[[], None], may_wait: Callable[[], bool]) -> None:
        self._folder, self._beat, self._may_wait = folder, beat, may_wait
        self._held_until: float | None = None
        self._next_look = 0.0

    def until_done(self, action: Callable[[], T]) -> T:
        """Call ``action``, which may be called again, until the file system lets it be done."""
        waited = False
        while True:
            try:
                result = action()
            except Exception as error:
                trouble = storage_error(error)
                if trouble is None or not self._may_wait():
                    raise
                self._note(trouble, is_first=not waited)
                waited = True
            else:
                if waited:
                    self._end_wait()
                return result
            self._beat()
            time.sleep(_PAUSE_S)

    def _note(self, trouble: OSError, is_first: bool) -> None:
        if trouble.errno in FULL_DISK_ERRNOS:
            record_full_disk(self._folder, True)
        if is_first:
            say(f"waits for the file system of the root: {trouble}")

    def _end_wait(self) -> None:
        record_full_disk(self._folder, False)
        restore_patience()
        say("the file system of the root works again")

    def hold_jobs(self, at_least_s: float) -> None:
        """Start no jobs for so many seconds, and until there is room."""
        self._held_until = time.monotonic() + at_least_s
        self._next_look = 0.0

    def holds_jobs(self) -> bool:
        """Whether no jobs may be started now."""
        if self._held_until is None:
            return False
        now = time.monotonic()
        if now < self._next_look:
            return True
        self._next_look = now + _LOOK_EVERY_S
        is_full = not has_room(self._folder)
        record_full_disk(self._folder, is_full)
        if is_full or now < self._held_until:
            return True
        self._held_until = None
        return False


class WaitingEventWriter(EventWriter):
    """Records events, however long that takes: without them nobody knows what happened."""

    def __init__(self, folder: Path, storage: StorageWait, prefix: str = "") -> None:
        super().__init__(folder, prefix)
        self._storage = storage

    def append(self, event_kind: str, /, **details: Any) -> Event:
        """Append one event; when this returns it is on disk."""
        return self._storage.until_done(lambda: EventWriter.append(self, event_kind, **details))
