"""Where a study lives whose folder here is a copy: ``home.json``. Nothing is done in a copy but looking.

A copy shows its study as it was when it was fetched: whether processes live is judged by the signs of life that came
with it, at that moment, and never by asking this machine.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.atomic_files import write_whole
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.process_identity import Liveness, ProcessIdentity

_FILE = "home.json"


@dataclass(frozen=True, slots=True)
class Home:
    """Where a study lives: a folder, or ``HOST:FOLDER``; ``fetched`` is when, by the clock there.

    It is None as long as the first fetch has not come to its end.
    """

    source: str
    fetched: float | None = None

    def write(self, study: StudyFolder) -> None:
        """Make a folder a copy, or say that it is one of a later moment."""
        write_whole(study.path / _FILE, [json.dumps(asdict(self))])

    def text(self) -> str:
        """Say it in a line."""
        if self.fetched is None:
            return f"the fetch from {self.source} did not come to its end: fetch again"
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.fetched))
        return f"a copy of {self.source} as it was {moment}"


def home_of(study: StudyFolder) -> Home | None:
    """Where a study lives; None where that is its folder here."""
    try:
        record = json.loads((study.path / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Home(**record)


def refuse_copy(study: StudyFolder) -> None:
    """Raise UsageError if a study lives elsewhere."""
    home = home_of(study)
    if home is not None:
        raise UsageError(f"{study.path} is a copy to look at; the study lives at {home.source}: do this there")


def clock_of(study: StudyFolder) -> float:
    """The moment at which a study is seen: now, or when it was fetched."""
    home = home_of(study)
    return time.time() if home is None or home.fetched is None else home.fetched


def liveness_in(study: StudyFolder, process: ProcessIdentity) -> Liveness:
    """Whether a process of a study lives; ``unknown`` in a copy."""
    return process.liveness() if home_of(study) is None else "unknown"
