"""What was sent of the ends of a study: ``notices/KEY.N`` for each try at an end, ``notices/KEY.sent`` when it worked.

A try belongs to the process that creates its file. When that process is killed before it says how it ended, another one
may try again after a minute: a notice comes once, or twice if a kill came between sending and recording it.
"""

from __future__ import annotations

from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.passing_errors import exists, try_again

MOST_TRIES = 5
_SENDING_S = 60.0
"""So long a process may take for one try."""


class Notice:
    """The notice of one end of a study; ``key`` says which end."""

    def __init__(self, study: StudyFolder, key: str) -> None:
        self._study, self._key = study, key
        self._folder = study.path / "notices"

    def _file(self, ending: str) -> Path:
        return self._folder / f"{self._key}.{ending}"

    def take_try(self) -> int | None:
        """Take the next try; return its number, None if there is none for this process."""
        if exists(self._file("sent")):
            return None
        number = next((one for one in range(1, MOST_TRIES + 1) if not exists(self._file(str(one)))), None)
        if number is None or (number > 1 and self._is_busy(number - 1)):
            return None
        return number if create_once(self._file(str(number)), "") else None

    def _is_busy(self, number: int) -> bool:
        """Whether a process is still sending, as far as one can tell."""
        if exists(self._file(f"{number}.failed")):
            return False
        file = self._file(str(number))
        return file_system_time(self._study) - try_again(file.stat, file).st_mtime < _SENDING_S

    def record_sent(self) -> None:
        """Record that it was sent."""
        create_once(self._file("sent"), "")

    def record_failed(self, number: int, reason: str) -> None:
        """Record why a try failed."""
        create_once(self._file(f"{number}.failed"), reason)
