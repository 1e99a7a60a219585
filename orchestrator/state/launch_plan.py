"""What would run, and why: the jobs of a study as it is written now, compared with the ledger and the result store.

A plan changes nothing and reads no data, except to see whether files that results depend on have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.job_differences import find_differences
from seedfold.jobs.study import Study
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plan_table import Request
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.failures import REFUSED, RetryPolicies
from seedfold.orchestrator.settings.notify import Notify
from seedfold.orchestrator.settings.report import ReportSettings
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, STATES, JobState, JobStates
from seedfold.orchestrator.state.learned_resources import UsageHistory
from seedfold.orchestrator.state.staleness import StalenessChecker, compare_code


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job and its state. ``state`` is ``new`` for a job that is in no earlier plan.

    ``changes`` say why the result of a done job is stale (see `seedfold.orchestrator.state.staleness`).
    """

    job: JobDescription
    job_state: JobState
    state: str
    changes: tuple[str, ...] = ()

    @property
    def stale(self) -> str | None:
        """The first of the changes."""
        return self.changes[0] if self.changes else None


@dataclass(frozen=True, slots=True)
class Replacement:
    """An address that has another job already, and the state of that job."""

    old: JobDescription
    new: JobDescription
    state: str


class Plan:
    """The jobs of a study with their states, in the order in which they would run."""

    def __init__(self, root: Root, study: Study) -> None:
        self.root = root
        self.study = study
        self.folder = root.study_folder(study.name)
        self.ledger = Ledger(self.folder)
        ClusterSettings.parse(study.settings["cluster"])
        self.policies = RetryPolicies.parse(study.settings["failures"])
        planned = list(study.jobs())
        by_id = {job.id: job for job in planned}
        self.states = JobStates(root, self.ledger, self.policies, by_id)
        self.report_settings = ReportSettings.parse(study.settings.get("report"))
        self.report_settings.check_axes(axis for job in planned for axis in job.axes)
        Notify.parse(study.settings.get("notify"))
        self.report_settings.check_stages(job.stage for job in planned)
        self.states.prefetch_results(by_id)
        self.history = UsageHistory(self.states)
        self.descriptions = self.history.with_learned_resources(planned)
        self.code = compare_code(self.ledger, next(reversed(self.descriptions), None), Path.cwd())
        staleness = StalenessChecker(self.states, self.code)
        self.jobs = [self._make_planned_job(job, staleness) for job in self.descriptions]

    def _make_planned_job(self, job: JobDescription, staleness: StalenessChecker) -> PlannedJob:
        job_state = self.states.of(job.id)
        is_new = job.id not in self.ledger.plans.jobs and job_state.state == "waiting"
        return PlannedJob(job, job_state, "new" if is_new else job_state.state, staleness.find_changes(job, job_state))

    def find_replacements(self) -> list[Replacement]:
        """Addresses that have another job now."""
        replacements, held_jobs = [], self.ledger.plans.held_jobs()
        for job in held_jobs.without_place(planned.job for planned in self.jobs):
            old = held_jobs.get(job.address)
            if old is not None:
                replacements.append(Replacement(old, job, self.states.of(old.id).state))
        return replacements

    def has_new_addresses(self) -> bool:
        """Whether any job has an address that it did not have in an earlier plan."""
        return bool(self.ledger.plans.current_jobs.without_place(self.descriptions))

    def changes_report(self) -> bool:
        """Whether the report compares something else than at the last launch."""
        header = self.ledger.plans.header
        return header is not None and ReportSettings.parse(header.settings.get("report")) != self.report_settings

    def jobs_to_remove(self, request: Request) -> list[JobDescription]:
        """The current jobs that an earlier launch with this request named, and which the study no longer has."""
        return self.ledger.plans.jobs_to_remove(request, {job.address for job in self.descriptions})

    def seconds_by_stage(self) -> dict[str, float]:
        """Mean run time in seconds of the finished jobs of each stage, or else of like jobs of other studies."""
        found = mean_seconds_by_stage(self.jobs)
        for stage, run in {planned.job.stage: planned.job.run for planned in self.jobs}.items():
            seconds = [] if stage in found else self.history.amounts("time", stage, run)
            if seconds:
                found[stage] = sum(seconds) / len(seconds)
        return found

    def startable_jobs(
        self, rerun: Callable[[PlannedJob], bool] = lambda planned: False, released: Collection[str] = ()
    ) -> list[PlannedJob]:
        """The jobs that a launch would start: new, waiting, lost, stale by parent or to be retried, and their children.

        ``rerun`` adds done jobs. A job is left out if it has a parent that is not done, not running and would not be
        started, or if it is held and not among those that are to be ``released``.
        """
        starting: dict[str, PlannedJob] = {}
        for planned in self.jobs:
            job = planned.job
            if job.id in starting or planned.state in ACTIVE_STATES:
                continue
            follows = any(parent in starting for parent in job.parents)
            wanted = self._needs_start(planned) or rerun(planned) or (planned.state == "done" and follows)
            wanted = wanted or (planned.state == "blocked" and (follows or not planned.job_state.has_nothing_to_do))
            # Whether a job is held is read from all its events, so it is not asked of the many that are done.
            if not wanted or (job.id not in released and self.states.is_left_on_hold(job.id)):
                continue
            if all(self._is_parent_coming(parent, starting) for parent in self.states.needed_parents(job)):
                starting[job.id] = planned
        return list(starting.values())

    def _needs_start(self, planned: PlannedJob) -> bool:
        if planned.state == "failed":
            if (planned.job_state.event or {}).get("digest") == REFUSED:
                # The scheduler may accept it with other settings of the cluster.
                return True
            return not self.policies.retries_are_exhausted(self.ledger.record_of(planned.job.id).failures())
        return planned.state in {"new", "waiting", "lost"} or planned.stale == "parent"

    def _is_parent_coming(self, parent: str, starting: Mapping[str, PlannedJob]) -> bool:
        state = self.states.of(parent).state
        return parent in starting or state == "done" or state in ACTIVE_STATES


def replaced_keys(replacements: Iterable[Replacement], identity: Mapping[str, Any]) -> list[str]:
    """Return the changed keys that would replace jobs: ``trainer.max_epochs 40 → 1: 24 done, 2 running``."""
    states: dict[str, Counter[str]] = {}
    for replacement in replacements:
        changed = [d for d in find_differences(replacement.old, replacement.new, identity) if d.counts]
        keys = ", ".join(f"{change.key} {change.left} → {change.right}" for change in changed)
        states.setdefault(keys, Counter())[replacement.state] += 1
    return [
        f"{keys}: {', '.join(f'{count} {state}' for state, count in counts.items())}" for keys, counts in states.items()
    ]


def count_by_stage(jobs: Sequence[PlannedJob]) -> dict[str, dict[str, int]]:
    """Count the jobs of each stage by state, with ``jobs``, ``new`` and ``stale``; every key is always present."""
    stages: dict[str, dict[str, int]] = {}
    for planned in jobs:
        empty: dict[str, int] = {"jobs": 0, "new": 0, **dict.fromkeys(map(str, STATES), 0), "stale": 0}
        counts = stages.setdefault(planned.job.stage, empty)
        counts["jobs"] += 1
        counts[planned.state] += 1
        counts["stale"] += planned.stale is not None
    return stages


def group_into_arrays(jobs: Iterable[PlannedJob]) -> list[dict[str, Any]]:
    """Group jobs by stage and resources, as they would be submitted."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for planned in jobs:
        resources = planned.job.resources.to_dict()
        group = groups.setdefault(
            (planned.job.stage, repr(resources)), {"stage": planned.job.stage, "jobs": 0, **resources}
        )
        group["jobs"] += 1
    return list(groups.values())


def count_random_starts(jobs: Iterable[PlannedJob]) -> dict[str, int]:
    """Count by stage the jobs whose network could begin with published weights (``model.pretrained``) and does not."""
    models = [(planned.job.stage, planned.job.config.get("model")) for planned in jobs]
    return dict(
        Counter(
            stage
            for stage, model in models
            if isinstance(model, Mapping) and "pretrained" in model and model["pretrained"] is None
        )
    )


def mean_seconds_by_stage(jobs: Iterable[PlannedJob]) -> dict[str, float]:
    """Mean run time in seconds of the finished jobs of each stage; stages without finished jobs are left out."""
    times: dict[str, list[float]] = {}
    for planned in jobs:
        if planned.job_state.state == "done" and planned.job_state.event is not None:
            times.setdefault(planned.job.stage, []).append(planned.job_state.event["seconds"])
    return {stage: sum(seconds) / len(seconds) for stage, seconds in times.items()}


def estimate_hours(jobs: Iterable[PlannedJob], seconds_by_stage: Mapping[str, float], unit: str) -> float | None:
    """Hours of ``gpus`` or ``cpus`` that the jobs would take, or of ``jobs`` themselves, from finished jobs.

    None if a stage has no finished job.
    """
    total = 0.0
    for planned in jobs:
        amount = 1 if unit == "jobs" else getattr(planned.job.resources, unit)
        if amount and planned.job.stage not in seconds_by_stage:
            return None
        total += amount * seconds_by_stage.get(planned.job.stage, 0.0) / 3600
    return round(total, 3)
