"""Handing jobs over: to a worker on this machine, or as an array to a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.code.snapshots import take_snapshot
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.schedulers.local import dispatch
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.state.plan import PlannedJob

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.round import Advanced


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch or a resume did.

    ``jobs`` are the ids it speaks of, ``started`` those that it handed over in ``submissions``; ``exhausted`` counts
    failed jobs that only `resume` tries again; ``advanced`` is what the scheduler took, None on this machine.
    """

    study: StudyFolder
    jobs: tuple[str, ...]
    started: tuple[JobDescription, ...]
    submissions: tuple[Submission, ...]
    exhausted: int = 0
    advanced: Advanced | None = None


def check_with_scheduler(study: StudyFolder, starting: Sequence[PlannedJob], settings: Mapping[str, Any]) -> None:
    """Raise UsageError for what the scheduler would refuse, before anything is written."""
    if not starting or Cluster.parse(settings["cluster"]).batch is None:
        return
    from seedfold.orchestrator.schedulers.backend import RefusedError
    from seedfold.orchestrator.schedulers.intents import preflight

    try:
        preflight(study, [planned.job for planned in starting], settings)
    except RefusedError as error:
        raise UsageError(f"the scheduler would refuse {error}") from None


def code_of(
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    original: bool = False,
) -> dict[str, str | None]:
    """The snapshot of the code that each job is to run: of today's, or, if ``original``, the one that it had last.

    None stands for what is in ``folder`` when the job starts. Raises UsageError where there is no original.
    """
    found: dict[str, str | None] = {}
    today = [one.job for one in starting if not (original and one.job.id in ledger.handed_over)]
    if today:
        snapshot = take_snapshot(study, today, folder) if Cluster.parse(settings["cluster"]).snapshot else None
        found |= dict.fromkeys((job.id for job in today), snapshot)
    for job in (one.job for one in starting if one.job.id not in found):
        last = ledger.handed_over[job.id]
        if last.snapshot is None:
            raise UsageError(f"--code original: {job.short_id} was submitted without a snapshot of the code")
        last.import_path()
        found[job.id] = last.snapshot
    return found


def submit(
    root: Root,
    study: StudyFolder,
    ledger: Ledger,
    starting: Sequence[PlannedJob],
    settings: Mapping[str, Any],
    folder: Path,
    code: Mapping[str, str | None],
) -> tuple[tuple[Submission, ...], Advanced | None]:
    """Hand jobs over: to a worker on this machine, or as intents that `advance` sends to the scheduler."""
    jobs = [planned.job for planned in starting]
    rerun = {one.job.id: ledger.record(one.job.id).latest for one in starting if one.state == "done"}
    if Cluster.parse(settings["cluster"]).batch is not None:
        from seedfold.orchestrator.schedulers.advance import advance
        from seedfold.orchestrator.schedulers.intents import make_intents

        made = make_intents(study, ledger, jobs, settings, folder, rerun=rerun, code=code) if jobs else []
        return tuple(made), advance(root, study)
    if not jobs:
        return (), None
    kept = {key: settings[key] for key in ("cluster", "failures")}
    made = []
    for snapshot in dict.fromkeys(code.values()):
        names = [job.id for job in jobs if code[job.id] == snapshot]
        again = {job: rerun[job] for job in names if job in rerun}
        made.append(Submission.create(study, names, kept, folder, again, snapshot=snapshot))
    for submission in made:
        dispatch(submission)
    return tuple(made), None
