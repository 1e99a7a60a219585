"""Holds and releases jobs: what is held is not begun, whatever was submitted already. Running jobs are not touched.

A hold is an event, after which workers begin none of its jobs. A scheduler's task that finds only held jobs ends; what
is submitted and was not sent to the scheduler yet is not sent. A release is an event, too. Jobs that a worker of this
machine has, or that are in a queue, go on from there; those that are not are submitted. Of both events the later one
counts, so that of two commands at once all who read the ledger see the same one win, and after a crash of a command
nothing is left halfway: the jobs are held or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.dispatch.resume import resume, unique_by_id
from seedfold.orchestrator.dispatch.submit import LaunchResult
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.events import EventWriter, time_after
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.past_caches import longest_cache_s, look_past_caches
from seedfold.orchestrator.ledger.search_launch import SearchLaunch
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobStates
from seedfold.orchestrator.state.launch_plan import PlannedJob

_NOT_BEGUN = frozenset({"new", "waiting", "submitted", "lost", "blocked"})
_IDLE = frozenset({"waiting", "lost"})


@dataclass(frozen=True, slots=True)
class HoldResult:
    """The jobs that are held now, and the selected ones that run and go on."""

    jobs: tuple[JobDescription, ...]
    running: tuple[JobDescription, ...]


def hold(root: Root, name: str, selection: Selection) -> HoldResult:
    """Hold the jobs that have not begun."""
    study = root.existing_study(name)
    refuse_copy(study)
    ledger = Ledger(study)
    assert ledger.plans.header is not None
    states = JobStates(root, ledger, RetryPolicies.parse(ledger.plans.header.settings["failures"]))
    own_jobs = _own_jobs(ledger, selection)
    jobs = selection.apply(
        [job for job in own_jobs if may_be_held(states, job.id, states.of(job.id).state)], lambda job: job
    )
    record_held(study, ledger, [job.id for job in jobs])
    states.refresh()
    return HoldResult(
        jobs=tuple(job for job in jobs if states.of(job.id).state not in {"running", "done"}),
        running=tuple(job for job in own_jobs if selection.matches(job) and states.of(job.id).state == "running"),
    )


def release(root: Root, name: str, selection: Selection) -> tuple[list[JobDescription], LaunchResult]:
    """Release held jobs; return them, and what was submitted for them because nobody had them any more.

    Raises UsageError as `resume` does.
    """
    study = root.existing_study(name)
    refuse_copy(study)
    ledger = Ledger(study)
    jobs = selection.apply(
        [job for job in _own_jobs(ledger, selection) if ledger.record_of(job.id).hold is not None], lambda job: job
    )
    if ledger.plans.header is not None and SEARCH in ledger.plans.header.settings:
        return jobs, _release_of_search(root, ledger, jobs)
    record_released(study, ledger, [job.id for job in jobs])
    if longest_cache_s(study.path):
        # A worker that saw the jobs held may have ended since, and this machine may still show it alive.
        for submission in (one for one in ledger.live_submissions if one.array is None):
            look_past_caches(submission.tasks.folder)
    wanted = {job.id for job in jobs}
    last = [ledger.last_submission_of[job] for job in wanted if job in ledger.last_submission_of]
    # What was submitted runs the code of the moment when it was submitted, if there is a snapshot of it.
    has_snapshots = all(submission.snapshot is not None for submission in last)

    def choose(planned: Sequence[PlannedJob]) -> list[PlannedJob]:
        coming = {one.job.id for one in planned if one.state == "done" or one.state in ACTIVE_STATES}
        starting: dict[str, PlannedJob] = {}
        for one in planned:
            is_wanted = one.job.id in wanted or not starting.keys().isdisjoint(one.job.parents)
            is_idle = one.state in _IDLE and not one.job_state.is_held
            if is_wanted and is_idle and all(parent in coming or parent in starting for parent in one.job.parents):
                starting[one.job.id] = one
        return list(starting.values())

    return jobs, resume(root, name, original_code=has_snapshots, choose=choose)


def _release_of_search(root: Root, ledger: Ledger, jobs: Sequence[JobDescription]) -> LaunchResult:
    """Release jobs of a search: its workers take them, which are started if there are none any more."""
    from seedfold.orchestrator.dispatch.search import go_on

    SearchLaunch.read(ledger.study)
    record_released(ledger.study, ledger, [job.id for job in jobs])
    return go_on(root, ledger.study)


def may_be_held(states: JobStates, job_id: str, state: str) -> bool:
    """Whether a job has not begun, or will be tried again without any command."""
    if state == "failed":
        return not states.policies.retries_are_exhausted(states.ledger.record_of(job_id).failures())
    return state in _NOT_BEGUN and not states.of(job_id).has_nothing_to_do


def record_held(
    study: StudyFolder, ledger: Ledger, jobs: Collection[str], pilots: Sequence[str] = (), *, is_auto: bool = False
) -> None:
    """Record that jobs are held: until they are released or, if ``is_auto``, until the ``pilots`` are done."""
    if not jobs:
        return
    records = [ledger.record_of(job) for job in jobs]
    earlier = max(max(record.released_at, record.cancelled_at) for record in records)
    details = {"pilots": list(pilots), "auto": is_auto} if pilots else {}
    _record(study, "held", ledger, jobs, earlier, **details)


def record_released(study: StudyFolder, ledger: Ledger, jobs: Collection[str]) -> None:
    """Record that a person released jobs."""
    events = (ledger.record_of(job).held_event for job in jobs)
    if jobs:
        _record(study, "released", ledger, jobs, max(event["t"] for event in events if event is not None))


def _record(
    study: StudyFolder, kind: str, ledger: Ledger, jobs: Collection[str], earlier: float, **details: object
) -> None:
    writer = EventWriter(study.events_folder)
    writer.append(
        kind, t=time_after([earlier]), jobs={job: ledger.record_of(job).latest_attempt for job in jobs}, **details
    )
    writer.close()


def _own_jobs(ledger: Ledger, selection: Selection) -> list[JobDescription]:
    """The jobs of a study that Seedfold runs. Raises UsageError if the selection has a name that they have not."""
    jobs = [job for job in unique_by_id(ledger.plans.current_jobs.values()) if not is_import(job)]
    selection.check_names(jobs)
    return jobs
