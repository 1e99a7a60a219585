"""One job of a study in Python: its configuration, attempts, log, result and weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.job_details import JobDetails
from seedfold.orchestrator.state.job_logs import AttemptLog, read_log
from seedfold.orchestrator.views.weights import export_weights, find_checkpoint, load_model
from seedfold.results.store.published import Result


@dataclass(frozen=True)
class Job:
    """One job of a study, with its state when it was looked up."""

    root: Root
    details: JobDetails

    @property
    def id(self) -> str:
        """The full id."""
        return self.details.job.id

    @property
    def axes(self) -> dict[str, Any]:
        """Axis values by configuration key."""
        return dict(self.details.job.axes)

    @property
    def state(self) -> str:
        """The job's state."""
        return self.details.view.state

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as plain data."""
        return self.details.config()

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts so far: when and where they ran, and how they ended."""
        return list(self.details.attempts())

    @property
    def log(self) -> str:
        """The log of the latest attempt. Raises UsageError if there was none."""
        log = AttemptLog.find(self.root, self.details.found_job, None, allow_pending=False)
        return b"".join(read_log(log)).decode(errors="replace")

    @property
    def result(self) -> Result | None:
        """The record of the published result: files, metrics, provenance; None if there is no result."""
        return self.details.latest_result()

    def checkpoint(self, role: str | None = None) -> Path:
        """The checkpoint ``best`` or ``last``, or ``best/HEAD`` of one head.

        By default it is best, or last if there is no best. Raises UsageError if it is not there.
        """
        return find_checkpoint(self.details, role)[1]

    def model(self, role: str | None = None) -> Any:
        """The model of the configuration, with the weights of a checkpoint, on the CPU and in eval mode.

        It imports torch, and the class of the model. Raises UsageError if there are no such weights, or they do not
        fit.
        """
        return load_model(self.details, role)

    def export(self, file: str | Path, role: str | None = None) -> list[Path]:
        """Write the weights with their configuration to a new file, as `seedfold export` does, and return the files.

        Raises UsageError if the job is not done, there are no such weights, or something has the name of the file.
        """
        return [path for written in export_weights(self.details, Path(file), role) for path in written.files]
