"""The origin of a copy of a study: ``home.json`` in its folder. A copy is only read.

A copy shows its study as it was when it was fetched. Whether processes were alive follows from the heartbeats that were
fetched with it, compared with that moment, and never from the processes of this machine.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError, naming_damaged_file, read_record
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity

_FILE = "home.json"
_REMEDY = "remove the file if the study is no copy, else remove the folder and fetch the study again"


@dataclass(frozen=True, slots=True)
class CopyOrigin:
    """Where a study was copied from: a folder, or ``HOST:FOLDER``; ``fetched`` is when, by the clock there.

    ``fetched`` is None until the first fetch is complete.
    """

    source: str
    fetched: float | None = None

    def write(self, study: StudyFolder) -> None:
        """Mark a folder as a copy, or update the time of its copy."""
        write_atomically(study.path / _FILE, [json.dumps(asdict(self))])

    def to_text(self) -> str:
        """Return it as one line of text."""
        if self.fetched is None:
            return f"the fetch from {self.source} is not complete: run seedfold fetch again"
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.fetched))
        return f"a copy of {self.source} as it was {moment}"


def read_copy_origin(study: StudyFolder) -> CopyOrigin | None:
    """The origin of a copy; None if the folder is the study itself.

    Raises DamagedFileError if the file cannot be read: then nobody knows whether the folder is a copy.
    """
    file = study.path / _FILE
    try:
        record = read_record(file, _REMEDY)
    except FileNotFoundError:
        return None
    with naming_damaged_file(file, _REMEDY):
        origin = CopyOrigin(**record)
        if not isinstance(origin.source, str) or not isinstance(origin.fetched, int | float | None):
            raise TypeError(f"{record!r:.80}")
        return origin


def is_copy(study: StudyFolder) -> bool:
    """Whether another study is a copy. One that cannot say so may be the study itself."""
    try:
        return read_copy_origin(study) is not None
    except DamagedFileError:
        return False


def refuse_copy(study: StudyFolder) -> None:
    """Raise UsageError if a folder is a copy."""
    origin = read_copy_origin(study)
    if origin is not None:
        raise UsageError(
            f"{study.path} is a copy, which is only for reading; run this command where the study is: {origin.source}"
        )


def observation_time(study: StudyFolder) -> float:
    """The time for which the files of a study are valid, by their own clock: now, or for a copy that of the fetch."""
    origin = read_copy_origin(study)
    return file_system_time(study) if origin is None or origin.fetched is None else origin.fetched


def process_liveness(study: StudyFolder, process: ProcessIdentity) -> Liveness:
    """Whether a process of a study is alive; ``unknown`` in a copy."""
    return process.liveness() if read_copy_origin(study) is None else "unknown"
