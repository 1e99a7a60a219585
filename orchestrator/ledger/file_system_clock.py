"""The clock of the file system that a study is on.

Machines have clocks of their own, which may be minutes apart. The times of files are compared with the time of a file
that was just written in the same place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.atomic_files import remove_temporary

_VALID_S = 30.0
_readings: dict[Path, tuple[float, float]] = {}
"""For each study the time of a file that was written there, and the monotonic time of this machine at that moment."""


def file_system_time(study: StudyFolder) -> float:
    """The time now, in seconds since the epoch, by the clock that stamps the files of a study.

    A file is written at most once in half a minute. Where nothing can be written, it is the time of this machine.
    """
    now = time.monotonic()
    reading = _readings.get(study.path)
    if reading is None or now - reading[1] > _VALID_S:
        reading = _readings[study.path] = (_time_of_new_file(study.path), now)
    return reading[0] + now - reading[1]


def _time_of_new_file(folder: Path) -> float:
    """The time of a new file in a folder of a study or, if it is somebody else's, in the root."""
    for place in (folder, folder.parent):
        file = place / f".clock.{os.urandom(6).hex()}"
        try:
            file.touch()
            return file.stat().st_mtime
        except OSError:
            continue
        finally:
            remove_temporary(file)
    return time.time()
