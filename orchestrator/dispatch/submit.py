"""Submits jobs: to a worker on this machine, or as arrays to a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.code.snapshots import take_snapshot
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import SUBMISSION_KEYS, Submission
from seedfold.orchestrator.ledger.turns import last_tokens, next_turn, take_turn, without_submitted_since
from seedfold.orchestrator.schedulers.local import start_worker
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.launch_plan import PlannedJob
from seedfold.orchestrator.worker.slots import slots_folder

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.advance_round import AdvanceResult


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """What a launch or a resume did.

    ``jobs`` are the ids of the selected jobs, ``started`` those that were submitted in ``submissions``;
    ``held_count`` of these are held and do not begin yet. ``taken_count`` is the number of jobs that another command
    submitted at the same moment, and ``exhausted_count`` is the number of failed jobs that only `resume` tries again,
    with the command ``resume``;
    ``removed`` are the jobs whose points the study no longer has; ``advance_result`` is what the scheduler accepted,
    None on this machine. ``notes`` are lines on what has changed since jobs were done. ``reused`` counts the jobs that
    are not run because another study has done them, by its name. A search (``is_search``) goes on to start
    jobs that nobody knows yet.
    """

    study: StudyFolder
    jobs: tuple[str, ...]
    started: tuple[JobDescription, ...]
    submissions: tuple[Submission, ...]
    taken_count: int = 0
    held_count: int = 0
    exhausted_count: int = 0
    resume: str = ""
    removed: tuple[JobDescription, ...] = ()
    advance_result: AdvanceResult | None = None
    notes: tuple[str, ...] = ()
    reused: Mapping[str, int] = field(default_factory=dict)
    is_search: bool = False

    @property
    def exit_code(self) -> int:
        """1 if the scheduler refused jobs, 3 if it is not known whether it accepted them, else 0."""
        if self.advance_result is None:
            return 0
        if self.advance_result.refused_jobs:
            return 1
        return UnreachableError.exit_code if self.advance_result.unanswered else 0


def submitted_jobs(starting: Sequence[PlannedJob], submissions: Sequence[Submission]) -> tuple[JobDescription, ...]:
    """Those of the jobs that are in these submissions."""
    submitted = {job for submission in submissions for job in submission.jobs}
    return tuple(planned.job for planned in starting if planned.job.id in submitted)


def count_taken(starting: Sequence[PlannedJob], submissions: Sequence[Submission]) -> int:
    """How many of the jobs another command has submitted."""
    return len({planned.job.id for planned in starting}) - len(
        {job.id for job in submitted_jobs(starting, submissions)}
    )


def _failed_last(starting: Sequence[PlannedJob], ledger: Ledger) -> list[PlannedJob]:
    """Put those of a stage that have failed before behind its others; parents stay before their children."""
    last = set[str]()
    for planned in starting:
        has_failed = planned.state != "done" and ledger.record_of(planned.job.id).has_failed
        if has_failed or not last.isdisjoint(planned.job.parents):
            last.add(planned.job.id)
    # A stage stays whole: an array of its jobs comes before those of the next stage.
    stages = (list(jobs) for _, jobs in groupby(starting, key=lambda one: one.job.stage))
    return [planned for jobs in stages for planned in sorted(jobs, key=lambda one: one.job.id in last)]


def check_with_scheduler(ledger: Ledger, starting: Sequence[PlannedJob], settings: Mapping[str, Any]) -> None:
    """Raise UsageError, before anything is written, if the scheduler would refuse a submission.

    On this machine, raise it if workers could not trust the folder of its slots.
    """
    if not starting:
        return
    if ClusterSettings.parse(settings["cluster"]).scheduler is None:
        slots_folder()
        return
    from seedfold.orchestrator.schedulers.backend import RefusedError
    from seedfold.orchestrator.schedulers.intents import test_submissions

    try:
        test_submissions(ledger, [planned.job for planned in starting], settings, ())
    except RefusedError as error:
        raise UsageError(f"the scheduler would refuse {error}") from None


def choose_snapshots(
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    original_code: bool = False,
) -> dict[str, str | None]:
    """The snapshot of the code that each job will run: of today's code or, if ``original``, of its last submission.

    None means the code in ``folder`` when the job starts. Raises UsageError if a job has no original snapshot.
    """
    snapshots: dict[str, str | None] = {}
    today = [one.job for one in starting if not (original_code and one.job.id in ledger.last_submission_of)]
    if today:
        snapshot = take_snapshot(study, today, folder) if ClusterSettings.parse(settings["cluster"]).snapshot else None
        snapshots |= dict.fromkeys((job.id for job in today), snapshot)
    for job in (one.job for one in starting if one.job.id not in snapshots):
        last_submission = ledger.last_submission_of[job.id]
        if last_submission.snapshot is None:
            raise UsageError(f"--code original: {job.short_id} was submitted without a snapshot of the code")
        last_submission.import_path()
        snapshots[job.id] = last_submission.snapshot
    return snapshots


def submit_jobs(
    root: Root,
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    snapshots: Mapping[str, str | None],
) -> tuple[tuple[Submission, ...], AdvanceResult | None]:
    """Submit jobs: to a worker on this machine, or as intents that `advance` sends to the scheduler.

    Jobs that another command has submitted since the ledger was read are left out. Jobs that have failed before come
    last in their stage: if they fail again, the worker may give it up, and what can be done is done by then.
    """
    jobs = [planned.job for planned in _failed_last(starting, ledger)]
    rerun_attempts = {
        one.job.id: ledger.record_of(one.job.id).latest_attempt for one in starting if one.state == "done"
    }
    if ClusterSettings.parse(settings["cluster"]).scheduler is not None:
        from seedfold.orchestrator.schedulers.advance import advance
        from seedfold.orchestrator.schedulers.intents import make_intents

        submissions = (
            make_intents(study, ledger, jobs, settings, folder, rerun_attempts=rerun_attempts, snapshots=snapshots)
            if jobs
            else []
        )
        return tuple(submissions), advance(root, study, ledger)
    if not jobs:
        return (), None
    submission_settings = {key: settings[key] for key in SUBMISSION_KEYS if key in settings}
    known_tokens, tokens_of = last_tokens(ledger), dict[str | None, str]()
    while True:
        turn = next_turn(study)
        jobs = without_submitted_since(ledger, jobs, known_tokens)
        tokens_of = {snapshot: Submission.new_token() for snapshot in dict.fromkeys(snapshots[job.id] for job in jobs)}
        if not jobs or take_turn(study, turn, list(tokens_of.values())):
            break
    submissions = []
    for snapshot, token in tokens_of.items():
        job_ids = [job.id for job in jobs if snapshots[job.id] == snapshot]
        reruns = {job: rerun_attempts[job] for job in job_ids if job in rerun_attempts}
        submissions.append(
            Submission.create(study, job_ids, submission_settings, folder, reruns, token=token, snapshot=snapshot)
        )
    for submission in submissions:
        start_worker(submission)
    return tuple(submissions), None
