"""Whether a job that was stopped has made progress: whether it has written a checkpoint to continue from."""

from __future__ import annotations

from seedfold.orchestrator.ledger.layout import StudyFolder


def has_progressed(study: StudyFolder, fit: str, since: float) -> bool:
    """Whether a job has written a checkpoint or another file since ``since``, in seconds since the epoch."""
    folder = study.job_folder(fit)
    kept = (path for path in folder.rglob("*") if path.is_file())
    own = (path for path in kept if not path.relative_to(folder).parts[0].startswith(("log.", "staging.", "records")))
    return any(path.stat().st_mtime >= since for path in own)
