"""Whether a job that was stopped has come any further: what it kept is there to continue from."""

from __future__ import annotations

from seedfold.orchestrator.ledger.layout import StudyFolder


def has_progressed(study: StudyFolder, fit: str, since: float) -> bool:
    """Whether a job has kept anything since then, in seconds since the epoch, beside its log and its staging."""
    folder = study.job_folder(fit)
    kept = (path for path in folder.rglob("*") if path.is_file())
    own = (path for path in kept if not path.relative_to(folder).parts[0].startswith(("log.", "staging.")))
    return any(path.stat().st_mtime >= since for path in own)
