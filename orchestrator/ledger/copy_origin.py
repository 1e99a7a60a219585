"""Where a study lives whose folder here is a copy: ``home.json``. Nothing is done in a copy but looking.

A copy shows its study as it was when it was fetched: whether processes live is judged by the signs of life that came
with it, at that moment, and never by asking this machine.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity

_FILE = "home.json"


@dataclass(frozen=True, slots=True)
class CopyOrigin:
    """Where a study lives: a folder, or ``HOST:FOLDER``; ``fetched`` is when, by the clock there.

    It is None as long as the first fetch has not come to its end.
    """

    source: str
    fetched: float | None = None

    def write(self, study: StudyFolder) -> None:
        """Make a folder a copy, or say that it is one of a later moment."""
        write_atomically(study.path / _FILE, [json.dumps(asdict(self))])

    def to_text(self) -> str:
        """Say it in a line."""
        if self.fetched is None:
            return f"the fetch from {self.source} did not come to its end: fetch again"
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.fetched))
        return f"a copy of {self.source} as it was {moment}"


def read_copy_origin(study: StudyFolder) -> CopyOrigin | None:
    """Where a study lives; None where that is its folder here."""
    try:
        record = json.loads((study.path / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return CopyOrigin(**record)


def refuse_copy(study: StudyFolder) -> None:
    """Raise UsageError if a study lives elsewhere."""
    origin = read_copy_origin(study)
    if origin is not None:
        raise UsageError(f"{study.path} is a copy to look at; the study lives at {origin.source}: do this there")


def observation_time(study: StudyFolder) -> float:
    """The moment at which a study is seen: now, or when it was fetched."""
    origin = read_copy_origin(study)
    return time.time() if origin is None or origin.fetched is None else origin.fetched


def process_liveness(study: StudyFolder, process: ProcessIdentity) -> Liveness:
    """Whether a process of a study lives; ``unknown`` in a copy."""
    return process.liveness() if read_copy_origin(study) is None else "unknown"
