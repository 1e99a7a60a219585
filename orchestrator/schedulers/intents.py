"""Intents: what is to be submitted to a scheduler, on disk before anybody tries to."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.arrays import array_of, cut
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.registry import backend_of
from seedfold.orchestrator.settings.cluster import Cluster


def make_intents(
    study: StudyFolder,
    ledger: Ledger,
    jobs: Sequence[JobDescription],
    settings: Mapping[str, object],
    folder: Path,
    *,
    rerun: Mapping[str, int] | None = None,
    avoided: tuple[str, ...] = (),
    renewed: bool = False,
    code: Mapping[str, str | None] | None = None,
) -> list[Submission]:
    """Write what is to be submitted, cut into arrays, each after those that hold parents of its jobs.

    ``code`` has the snapshot that each job runs; what is handed over again keeps its own.
    """
    code = code or {job.id: ledger.handed_over[job.id].snapshot for job in jobs}
    cluster = Cluster.parse(settings["cluster"])  # type: ignore[arg-type]
    backend = backend_of(cluster)
    assert backend is not None
    holders = {job: submission.token for job, submission in ledger.queued.items() if submission.array}
    made = []
    largest = backend.largest_array()
    alike = [[job for job in jobs if code[job.id] == snapshot] for snapshot in dict.fromkeys(code.values())]
    for piece in (piece for group in alike for piece in cut(group, cluster, largest)):
        names = [job.id for job in piece.jobs]
        after = sorted({holders[parent] for job in piece.jobs for parent in job.parents if parent in holders})
        array = replace(piece.array, after=tuple(after), exclude=avoided)
        again = {job: rerun[job] for job in names if rerun and job in rerun}
        token = _token(ledger, names) if renewed else None
        kept = {key: settings[key] for key in ("cluster", "failures")}
        try:
            submission = Submission.create(study, names, kept, folder, again, array, token, code[names[0]])
        except FileExistsError:
            continue
        holders.update(dict.fromkeys(names, submission.token))
        made.append(submission)
    return made


def _token(ledger: Ledger, jobs: Sequence[str]) -> str:
    """The same for everybody who sees the same attempts and submissions of these jobs."""
    seen = [(job, ledger.record(job).latest, ledger.handed_over[job].token) for job in jobs]
    return f"again-{hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]}"


def preflight(study: StudyFolder, jobs: Sequence[JobDescription], settings: Mapping[str, object]) -> None:
    """Have the scheduler look at one array of each kind; nothing is submitted. Raises RefusedError."""
    cluster = Cluster.parse(settings["cluster"])  # type: ignore[arg-type]
    backend = backend_of(cluster)
    assert backend is not None
    kept = {key: settings[key] for key in ("cluster", "failures")}
    with tempfile.TemporaryDirectory() as folder:
        scratch = StudyFolder(Path(folder) / study.name)
        for piece in cut(jobs, cluster, len(jobs)):
            one = array_of(piece.jobs[0], len(piece.jobs), cluster)
            asked = Submission.create(scratch, [piece.jobs[0].id], kept, Path(folder), array=one)
            try:
                backend.check(asked)
            except RefusedError as error:
                if not error.full:
                    raise RefusedError(f"stage {one.stage}: {error}") from None
