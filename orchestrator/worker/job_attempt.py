"""One requested attempt in the process that runs it: its folders, and the flag that asks it to stop."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.fits import FitClaim
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.worker.messages import AttemptRequest
from seedfold.results.recording.attempt_file import Attempt


class StopFlag:
    """Becomes true when the job has to stop. The run checks it whenever it can write a checkpoint.

    Some schedulers send signals to all processes of a task, and begin with an interrupt. Other processes of the job
    learn of it from a file of the ``recording``.
    """

    def __init__(self) -> None:
        self.is_set = False
        self.recording: Attempt | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: object) -> None:
        self.is_set = True
        if self.recording is not None:
            self.recording.request_stop()

    def __call__(self) -> bool:
        """Whether the job has to stop."""
        return self.is_set or self._is_to_pause()

    def _is_to_pause(self) -> bool:
        recording = self.recording
        return recording is not None and recording.pause_after is not None and recording.pause_file.exists()


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """One requested attempt, and its folders."""

    request: AttemptRequest
    job: JobDescription
    root: Root
    study: StudyFolder
    started: float = field(default_factory=time.time)

    @classmethod
    def from_request(cls, request: AttemptRequest) -> JobAttempt:
        """Return the attempt that a request asks for."""
        root = Root(Path(request.root))
        return cls(request, JobDescription.from_dict(request.job), root, root.study_folder(request.study))

    @property
    def fit_claim(self) -> FitClaim:
        """The claim on its fit."""
        return FitClaim(self.root, self.study, self.job, self.request.attempt)

    @property
    def log_file(self) -> Path:
        """Where its process prints."""
        return self.study.log_file(self.job.id, self.request.attempt)

    @property
    def staging_folder(self) -> Path:
        """What it leaves until it is published."""
        return self.study.job_folder(self.job.id) / f"staging.{self.request.attempt}"

    @property
    def intent_file(self) -> Path:
        """What was asked for when the job was handed over."""
        return self.study.submissions_folder / self.request.submission / "intent.json"

    def parent_folders(self) -> dict[str, Path]:
        """The published folders of its parents."""
        return {
            parent: self.root.study_folder(study).result_folder(parent, attempt)
            for parent, (study, attempt) in self.request.parents.items()
        }
