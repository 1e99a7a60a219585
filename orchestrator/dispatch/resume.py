"""Resuming a study: what is neither done nor alive starts again, from its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.submit import Launched, check_with_scheduler, code_of, submit
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.plans import PlanHeader, write_plan
from seedfold.orchestrator.ledger.reader import Ledger
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.failures import KINDS, Policies
from seedfold.orchestrator.settings.overrides import apply_volatile
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import ALIVE, Standings
from seedfold.orchestrator.state.plan import PlannedJob

STOPPED = frozenset({"failed", "cancelled"})
"""States that only a person ends."""


_LATER_S = 0.001


def resume(
    root: Root,
    name: str,
    overrides: Sequence[str] = (),
    *,
    selection: Selection | None = None,
    kinds: Sequence[str] = (),
    original_code: bool = False,
    folder: Path | None = None,
) -> Launched:
    """Start exactly what is neither done nor alive, from its checkpoints, exhausted and cancelled jobs included.

    ``overrides`` may change what does not identify a job, such as ``resources.memory=80GB``; ``kinds`` limits it to
    jobs that failed so; ``original_code`` has each job run the code of its last submission instead of today's, which
    lies in ``folder``, by default the one of the last launch. Raises UsageError for an unknown kind, an override that
    would make other jobs, or code that was not kept.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--kind {kind}: no such kind of failure; known: {', '.join(KINDS)}")
    study = root.existing(name)
    refuse_copy(study)
    ledger = Ledger(study)
    _bring_forward(root, ledger)
    header = ledger.plans.header
    assert header is not None
    code_folder = folder or Path(header.folder)
    jobs, settings = apply_volatile(list(ledger.plans.current.values()), header.settings, overrides)
    Cluster.parse(settings["cluster"])
    standings = Standings(root, ledger, Policies.parse(settings["failures"]))
    own = [job for job in each_once(jobs) if not is_import(job)]
    planned = [PlannedJob(job, standing := standings.of(job.id), standing.state, None) for job in own]
    starting = _resumable(planned, kinds)
    if selection is not None:
        selection.check(jobs)
        starting = selection.apply(starting, lambda one: one.job)
    check_with_scheduler(study, starting, settings)
    code = code_of(study, ledger, starting, settings, code_folder, original_code)
    if starting:
        forgive(study, ledger, [one.job.id for one in starting if one.state in STOPPED])
        if overrides or code_folder != Path(header.folder):
            write_plan(study, PlanHeader.now(overrides, (), settings, code_folder), jobs)
    submissions, advanced = submit(root, study, ledger, starting, settings, code_folder, code)
    return Launched(
        study=study,
        jobs=tuple(one.job.id for one in planned),
        started=tuple(one.job for one in starting),
        submissions=submissions,
        advanced=advanced,
    )


def each_once(jobs: Iterable[JobDescription]) -> list[JobDescription]:
    """The jobs without those that stand at two places of a study."""
    return list({job.id: job for job in jobs}.values())


def _bring_forward(root: Root, ledger: Ledger) -> None:
    """Learn from the scheduler what has ended: what was cancelled there a moment ago would seem to be queued."""
    if not any(submission.array for submission in ledger.live):
        return
    from seedfold.orchestrator.schedulers.advance import advance

    advance(root, ledger.study)
    ledger.refresh()


def _resumable(planned: Sequence[PlannedJob], kinds: Sequence[str]) -> list[PlannedJob]:
    """What is neither done nor alive; a job whose parent is neither, and is not resumed with it, is left out."""
    states = {one.job.id: one.state for one in planned}
    starting: dict[str, PlannedJob] = {}
    for one in planned:
        if one.state == "done" or one.state in ALIVE or (kinds and not _failed_as(one, kinds)):
            continue
        if all(parent in starting or states.get(parent) in {"done", *ALIVE} for parent in one.job.parents):
            starting[one.job.id] = one
    return list(starting.values())


def _failed_as(planned: PlannedJob, kinds: Sequence[str]) -> bool:
    event = planned.standing.event
    return planned.state == "failed" and event is not None and event["kind"] in kinds


def forgive(study: StudyFolder, ledger: Ledger, stopped: Sequence[str]) -> None:
    """Give jobs that failed or were cancelled their retries back."""
    if stopped:
        writer = EventWriter(study.events)
        # Later than the cancellations that it answers, whatever the clocks of the hosts say.
        now = max(time.time(), *(ledger.record(job).cancelled_at + _LATER_S for job in stopped))
        writer.tell("resumed", t=round(now, 3), jobs={job: ledger.record(job).latest for job in stopped})
        writer.close()
