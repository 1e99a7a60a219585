"""Dead workers: those that ended without recording it and left jobs that no other worker has taken since."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.results.store.passing_errors import exists, find_files, try_again


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A submission whose worker died, and how many jobs it left unfinished."""

    submission: Submission
    job_count: int

    @property
    def log_file(self) -> Path | None:
        """The file with its last messages: the errors of the worker's process, else its output.

        None if there is neither.
        """
        folder = self.submission.folder / "submitit"
        printed = [*sorted(find_files(folder, "*.err")), *sorted(find_files(folder, "*.out")), self.submission.log_file]
        return next((file for file in printed if exists(file) and try_again(file.stat, file).st_size), None)

    def exit_reason(self) -> str:
        """How the worker ended, in words."""
        log = f"; its log: {self.log_file}" if self.log_file else ""
        died = "died" if log or self.submission.worker_process() else "never started"
        return f"the worker of submission {self.submission.token} {died}{log}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "submission": self.submission.token,
            "log": str(self.log_file) if self.log_file else None,
            "jobs": self.job_count,
        }


def find_dead_workers(study: StudyFolder, waiting: Collection[str]) -> list[DeadWorker]:
    """Return the last submissions of the ``waiting`` jobs, those whose workers died."""
    dead_workers, job_ids_left = [], set(waiting)
    for submission in _newest_first(study) if job_ids_left else ():
        jobs = job_ids_left.intersection(submission.jobs)
        job_ids_left -= jobs
        if jobs and _has_died(submission):
            dead_workers.append(DeadWorker(submission, len(jobs)))
        if not job_ids_left:
            break
    return dead_workers


def _has_died(submission: Submission) -> bool:
    """Whether its worker died; not if its files are damaged, which is told where they are read."""
    try:
        return submission.liveness() == "dead" and not submission.has_ended()
    except DamagedFileError:
        return False


def _time_of(intent: Path) -> tuple[str, float]:
    return intent.parent.name.rpartition("-")[0], try_again(intent.stat, intent).st_mtime


def _newest_first(study: StudyFolder) -> Iterator[Submission]:
    intents = find_files(study.submissions_folder, "*/intent.json")
    for intent in sorted(intents, key=_time_of, reverse=True):
        with suppress(DamagedFileError):
            yield Submission.read(intent.parent)
