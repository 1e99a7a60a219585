"""Workers that died without ending in order, and left jobs that nobody has taken up since."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission


@dataclass(frozen=True, slots=True)
class Fallen:
    """A submission whose worker died, and how many ``jobs`` it left."""

    submission: Submission
    jobs: int

    @property
    def log(self) -> Path | None:
        """The file with its last words: errors of the worker's process before what it said; None if there is none."""
        folder = self.submission.folder / "submitit"
        printed = [*sorted(folder.glob("*.err")), *sorted(folder.glob("*.out")), self.submission.log]
        return next((file for file in printed if file.exists() and file.stat().st_size), None)

    def fate(self) -> str:
        """What became of the worker."""
        died = f"died; its log: {self.log}" if self.log else "never started"
        return f"the worker of submission {self.submission.token} {died}"

    def text(self, study: str) -> str:
        """Say it in a line, and what to do."""
        return f"{self.fate()}; seedfold resume {study} goes on"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "submission": self.submission.token,
            "log": str(self.log) if self.log else None,
            "jobs": self.jobs,
        }


def find_fallen(study: StudyFolder, waiting: Collection[str]) -> list[Fallen]:
    """Return the submissions that were the last to take up some of the ``waiting`` jobs, if their workers died."""
    found, left = [], set(waiting)
    for submission in _newest_first(study) if left else ():
        jobs = left.intersection(submission.jobs)
        left -= jobs
        if jobs and submission.liveness() == "dead" and not submission.has_ended():
            found.append(Fallen(submission, len(jobs)))
        if not left:
            break
    return found


def _newest_first(study: StudyFolder) -> Iterator[Submission]:
    intents = study.submissions.glob("*/intent.json")
    for intent in sorted(intents, key=lambda file: (file.parent.name.rpartition("-")[0], file.stat().st_mtime))[::-1]:
        yield Submission.read(intent.parent)
