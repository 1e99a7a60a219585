"""The right to run an attempt: a file that only one process can create.

Attempt N of a job begins with the exclusive creation of ``claims/ab/ID.N`` by the process that computes it. The next
attempt begins only when that process is known to be dead. Equal jobs of two studies under a root are one job: whoever
claims it in one study and finds it claimed alive in another steps back, so at most one goes on.
"""

from __future__ import annotations

import json
from pathlib import Path

from seedfold.orchestrator.files import create_once
from seedfold.orchestrator.layout import Root, StudyFolder
from seedfold.orchestrator.process import Liveness, ProcessIdentity
from seedfold.orchestrator.submissions import Submission

RESULT = "result.json"


def _holder(claim: Path) -> Liveness:
    """Tell whether the process that holds a claim lives; the submission's worker answers where it cannot be seen."""
    record = json.loads(claim.read_text())
    known = ProcessIdentity(**record["process"]).liveness()
    if known != "unknown":
        return known
    folder = claim.parents[2] / "submissions" / record["submission"]
    return Submission.read(folder).liveness() if folder.is_dir() else "dead"


def attempts_begun(study: StudyFolder, job: str, known: int = 0) -> int:
    """Number of the latest attempt that anybody began, at least ``known``."""
    while study.claim(job, known + 1).exists():
        known += 1
    return known


def is_claimed_alive(study: StudyFolder, job: str) -> bool:
    """Whether the latest attempt at a job is at work."""
    latest = attempts_begun(study, job)
    return latest > 0 and _holder(study.claim(job, latest)) != "dead"


def is_published(study: StudyFolder, job: str, attempt: int) -> bool:
    """Whether an attempt's result is there, whole."""
    return (study.published(job, attempt) / RESULT).exists()


def claim(root: Root, study: StudyFolder, job: str, attempt: int, submission: str) -> str | None:
    """Begin an attempt as the calling process.

    Returns None if it is ours, else why it is not. The claim of an attempt that stepped back is withdrawn.
    """
    path = study.claim(job, attempt)
    record = {"process": ProcessIdentity.current().to_dict(), "submission": submission, "array_index": None}
    if not create_once(path, json.dumps(record)):
        return f"attempt {attempt} was begun by somebody else"
    for other in root.studies():
        if other.path != study.path and is_claimed_alive(other, job):
            path.unlink()
            return f"it runs in study {other.name}"
    return None
