"""Intents: what has to be submitted to a scheduler, written to disk before the first attempt to submit it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import SUBMISSION_KEYS, Submission, TaskArray
from seedfold.orchestrator.ledger.turns import last_tokens, next_turn, take_turn, without_submitted_since
from seedfold.orchestrator.schedulers.arrays import split_into_arrays
from seedfold.orchestrator.schedulers.backend import RefusedError
from seedfold.orchestrator.schedulers.registry import get_backend
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.fusing import Fusing


def make_intents(
    study: StudyFolder,
    ledger: Ledger,
    jobs: Sequence[JobDescription],
    settings: Mapping[str, object],
    folder: Path,
    *,
    rerun_attempts: Mapping[str, int] | None = None,
    excluded_nodes: tuple[str, ...] = (),
    resubmitted: bool = False,
    snapshots: Mapping[str, str | None] | None = None,
) -> list[Submission]:
    """Write the intents of jobs, cut into arrays; each array starts after those that have parents of its jobs.

    ``snapshots`` has the snapshot that each job runs; a job that is submitted again keeps its snapshot. Jobs that
    another process has submitted since the ledger was read are left out. Held jobs are in arrays of their own.
    """
    cluster = ClusterSettings.parse(settings["cluster"])  # type: ignore[arg-type]
    backend = get_backend(cluster)
    assert backend is not None
    max_array_size = backend.largest_array()
    known_tokens, fusing = last_tokens(ledger), Fusing(ledger, settings)
    while True:
        turn = next_turn(study)
        left = without_submitted_since(ledger, jobs, known_tokens)
        pieces = [
            (snapshot, piece)
            for snapshot, group in _groups(ledger, left, snapshots or _last_snapshots(ledger, left))
            for piece in split_into_arrays(group, cluster, fusing, max_array_size)
        ]
        tokens = [
            _resubmission_token(ledger, [job.id for job in piece.jobs]) if resubmitted else Submission.new_token()
            for _, piece in pieces
        ]
        if not tokens or take_turn(study, turn, tokens):
            break
    token_of_job = {job: submission.token for job, submission in ledger.open_submission_of.items() if submission.array}
    submissions = []
    for token, (snapshot, piece) in zip(tokens, pieces, strict=True):
        job_ids = [job.id for job in piece.jobs]
        after = sorted({token_of_job[parent] for job in piece.jobs for parent in job.parents if parent in token_of_job})
        array = replace(piece.array, after=tuple(after), exclude=excluded_nodes)
        array_reruns = {job: rerun_attempts[job] for job in job_ids if rerun_attempts and job in rerun_attempts}
        array_settings = {key: settings[key] for key in SUBMISSION_KEYS if key in settings}
        try:
            submission = Submission.create(study, job_ids, array_settings, folder, array_reruns, array, token, snapshot)
        except FileExistsError:
            continue
        token_of_job.update(dict.fromkeys(job_ids, submission.token))
        submissions.append(submission)
    return submissions


def _last_snapshots(ledger: Ledger, jobs: Sequence[JobDescription]) -> dict[str, str | None]:
    return {job.id: ledger.last_submission_of[job.id].snapshot for job in jobs}


def _groups(
    ledger: Ledger, jobs: Sequence[JobDescription], snapshots: Mapping[str, str | None]
) -> list[tuple[str | None, list[JobDescription]]]:
    """Jobs with equal snapshots, those that are held apart from the others and after them; each with its snapshot."""
    groups: dict[tuple[bool, str | None], list[JobDescription]] = {}
    for job in jobs:
        groups.setdefault((ledger.record_of(job.id).hold is not None, snapshots[job.id]), []).append(job)
    return [(snapshot, group) for (_, snapshot), group in sorted(groups.items(), key=lambda found: found[0][0])]


def _resubmission_token(ledger: Ledger, jobs: Sequence[str]) -> str:
    """A token that is the same for all processes that see the same attempts and submissions of these jobs."""
    state_seen = [(job, ledger.record_of(job).latest_attempt, ledger.last_submission_of[job].token) for job in jobs]
    return f"again-{hashlib.sha256(json.dumps(state_seen).encode()).hexdigest()[:16]}"


def test_submissions(
    ledger: Ledger,
    jobs: Sequence[JobDescription],
    settings: Mapping[str, object],
    excluded_nodes: tuple[str, ...],
) -> None:
    """Let the scheduler check one array of each kind; nothing is submitted. Raises RefusedError."""
    cluster = ClusterSettings.parse(settings["cluster"])  # type: ignore[arg-type]
    backend = get_backend(cluster)
    assert backend is not None
    array_settings = {key: settings[key] for key in ("cluster", "failures")}
    with tempfile.TemporaryDirectory() as folder:
        scratch = StudyFolder(Path(folder) / ledger.study.name)
        for piece in split_into_arrays(jobs, cluster, Fusing(ledger, settings), len(jobs)):
            array = replace(piece.array, exclude=excluded_nodes)
            submission = Submission.create(scratch, [piece.jobs[0].id], array_settings, Path(folder), array=array)
            try:
                backend.check_submission(submission)
            except RefusedError as error:
                if not error.queue_full:
                    raise RefusedError(f"stage {array.stage}: {error}{_size_text(array)}") from None


def _size_text(array: TaskArray) -> str:
    """That the jobs of a task make its request so large, for somebody whose request is refused."""
    if array.per_task == array.side_by_side:
        return ""
    return f" (a task of {array.per_task} jobs asks for the time of all; cluster.jobs_per_task=N makes smaller tasks)"
