"""An overview of a study, read once: its current jobs with their states, failures with their reasons, and notes.

Nothing here writes. Numbers count jobs: a job with two addresses in a study counts once in the total, and once in each
of its stages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.description import SHORT_ID_LENGTH, JobDescription
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.dead_workers import DeadWorker, find_dead_workers
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plan_table import Address, JobsAt
from seedfold.orchestrator.ledger.slot_waits import FULL_DISK, read_wait, waits_for_room
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.report import ReportSettings
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.axes_text import axes_text, value_text
from seedfold.orchestrator.state.code_axis import find_code_axis
from seedfold.orchestrator.state.code_versions import FinishedAttempt
from seedfold.orchestrator.state.given_up import given_up_jobs, given_up_lines, resume_text
from seedfold.orchestrator.state.held_lines import held_lines, kept_back
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobState, JobStates, ResultCheck, count_states
from seedfold.orchestrator.state.job_views import JobView as JobView
from seedfold.orchestrator.state.job_views import JobViews, QueuedView, by_stage, counted, groups_of, others_of
from seedfold.orchestrator.state.late_views import LateViews
from seedfold.orchestrator.state.stale_lines import WaysOn, count_stale_by_kind, package_lines, stale_lines
from seedfold.orchestrator.state.staleness import StalenessChecker, compare_code
from seedfold.orchestrator.state.states_in_bulk import find_queued

_IDLE_STATES = frozenset({"waiting", "lost"})
"""States of jobs that have not begun, and that may need a command to begin."""
_ENDED_STATES = frozenset({"done", "paused", "failed", "blocked", "cancelled"})

_STOPS = ("timeout", "preempted", "node")
"""Why the cluster stops jobs that then continue."""
_ROUNDS_WORTH_A_NOTE = 2


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one kind whose tracebacks differ only in numbers, addresses and paths; ``example`` is the first."""

    kind: str
    jobs: tuple[str, ...]
    """Their ids."""
    example: dict[str, Any]

    @property
    def job_count(self) -> int:
        """How many jobs failed so."""
        return len(self.jobs)


class Overview:
    """The jobs of a study that exists, as it was last launched. Raises UsageError if it does not exist.

    ``with_removed`` adds the jobs of points that the study no longer has; ``only`` leaves out all but some jobs.
    """

    def __init__(
        self,
        root: Root,
        study_name: str,
        result_check: ResultCheck = "files",
        *,
        with_removed: bool = False,
        only: Selection | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        """``lock`` is held while a view reads what it does not have: other threads may refresh the overview."""
        self.root = root
        self._lock = lock or nullcontext()
        self.with_removed = with_removed
        self.only = only or Selection()
        self.folder: StudyFolder = root.existing_study(study_name)
        self.ledger = Ledger(self.folder)
        self.only.check_names(self.ledger.plans.jobs.values())
        header = self.ledger.plans.header
        self.settings: Mapping[str, Any] = header.settings if header else {}
        self.states = JobStates(
            root, self.ledger, RetryPolicies.parse(self.settings.get("failures") or {}), result_check=result_check
        )
        self._compare()

    @property
    def report_settings(self) -> ReportSettings:
        """The report's settings of the study."""
        return ReportSettings.parse(self.settings.get("report"))

    def refresh(self) -> None:
        """Read what is new."""
        self.states.refresh()
        self._compare()

    def _compare(self) -> None:
        self.code = compare_code(self.ledger, self.ledger.plans.last_job())
        self._staleness = StalenessChecker(self.states, self.code)

    def job_view(self, job: JobDescription) -> JobView:
        """Return the view of one job."""
        job_state = self.states.of(job.id)
        return JobView(job, job_state, self._staleness.find_changes(job, job_state))

    def jobs_at_addresses(self) -> Mapping[Address, JobDescription]:
        """The job at each place of the study, in the order in which places were planned."""
        jobs = self._planned_jobs()
        return jobs if self.only == Selection() else dict(self.only.apply(jobs.items(), lambda item: item[1]))

    def _planned_jobs(self) -> JobsAt:
        return self.ledger.plans.held_jobs() if self.with_removed else self.ledger.plans.current_jobs

    def job_views(self, selection: Selection | None = None) -> Sequence[JobView]:
        """The view of the job of each address of the study, in the order in which the addresses were planned."""
        if self.only == Selection() and selection in (None, Selection()):
            return self._all_views(self._planned_jobs().in_order())
        return self._selected_views(self.jobs_at_addresses().values(), selection)

    def _all_views(self, rows: Sequence[int]) -> JobViews:
        """The views of the jobs in some rows of the plans; of those that are alike, one is looked at."""
        plans, done = self.ledger.plans.table, LateViews(self.ledger, self._lock)
        ids = [plans.ids[row] for row in rows]
        groups, grouped = [], set[int]()
        for places in self.states.find_done(rows).values():
            groups.append(done.group(self.job_view(plans.job(rows[places[0]])), rows, places))
            grouped.update(places)
        rest = [place for place in range(len(rows)) if place not in grouped] if len(grouped) < len(rows) else []
        others = dict[int, JobView]()
        for places in find_queued(self.ledger, rows, rest, self.states.claims_of_queued):
            example = self.job_view(plans.job(rows[places[0]]))
            others |= done.queued(example, rows, places) if example.state == "submitted" else {}
        rest = [place for place in rest if place not in others]
        self.states.prefetch_results(ids[place] for place in rest)
        others |= {place: self.job_view(plans.job(rows[place])) for place in rest}
        return JobViews(ids, groups, others, done)

    def jobs_by_address(self) -> dict[Address, JobDescription]:
        """The current jobs by address, with one more axis for each other key in which jobs of a stage differ.

        Those that a search has paused are left out: no result of them is missing.
        """
        from seedfold.jobs.identity import Identity
        from seedfold.jobs.varying_keys import with_unnamed_axes

        current = self.jobs_at_addresses()
        if SEARCH in self.settings:
            current = {place: job for place, job in current.items() if self.states.of(job.id).state != "paused"}
        identity = Identity.from_config(self.settings.get("identity"))
        return dict(zip(current, with_unnamed_axes(list(current.values()), identity), strict=True))

    def superseded_views(self, selection: Selection | None = None) -> Sequence[JobView]:
        """The jobs that were replaced."""
        jobs = [self.ledger.plans.jobs[job] for job in self.ledger.plans.superseded_ids()]
        return self._selected_views(jobs, selection)

    def _selected_views(self, jobs: Iterable[JobDescription], selection: Selection | None) -> list[JobView]:
        selection = selection or Selection()
        selection.check_names(self.ledger.plans.jobs.values())
        selected = selection.apply(jobs, lambda job: job)
        self.states.prefetch_results(job.id for job in selected)
        return [self.job_view(job) for job in selected]


def unique_by_id(views: Iterable[JobView]) -> Sequence[JobView]:
    """Return the views of the jobs, one for each job, even if it has several addresses."""
    if isinstance(views, JobViews) and len(set(views.ids)) == len(views):
        return views
    return list({view.id: view for view in views}.values())


def status_to_json(study_name: str, views: Sequence[JobView]) -> dict[str, Any]:
    """The shape that ``status --json`` prints."""
    unique_views = unique_by_id(views)
    others = others_of(unique_views)
    return {
        "study": study_name,
        "jobs": len(unique_views),
        "states": count_views(unique_views),
        "stages": {stage: count_views(of_stage) for stage, of_stage in by_stage(views).items()},
        "failures": [view.failure_json() for view in others if view.state == "failed"],
        "stale": count_stale_by_kind(unique_views),
        "held": sum(view.job_state.is_held for view in others),
    }


def count_views(views: Iterable[JobView]) -> dict[str, int]:
    """Count jobs by their states; every state has a key."""
    counts = count_states(view.job_state for view in others_of(views))
    counts["done"] += sum(group.count for group in groups_of(views))
    return counts


def group_failures(views: Iterable[JobView]) -> list[FailureGroup]:
    """Group failed jobs by kind and by traceback without numbers, addresses and paths; the largest group first."""
    groups: dict[tuple[str, str], list[JobView]] = {}
    for view in others_of(unique_by_id(views)):
        if view.state == "failed" and view.job_state.event is not None:
            event = view.job_state.event
            groups.setdefault((event["kind"], event["digest"]), []).append(view)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [
        FailureGroup(kind, tuple(view.job.id for view in members), members[0].failure_json())
        for (kind, _), members in ordered
    ]


def nothing_to_do_lines(views: Iterable[JobView]) -> Iterator[str]:
    """Return how many jobs are blocked because the result of a parent leaves them nothing to do, and why."""
    count_of_reason = Counter(view.job_state.reason for view in others_of(views) if view.job_state.has_nothing_to_do)
    for reason, count in count_of_reason.items():
        yield f"{count_noun(count, 'job has', 'jobs have')} nothing to do: {reason}"


def status_notes(overview: Overview, views: Sequence[JobView]) -> list[str]:
    """Notes for people besides the counts, one line each."""
    unique_views = unique_by_id(views)
    others = others_of(unique_views)
    origin = read_copy_origin(overview.folder)
    found_notes = [
        origin.to_text() if origin else None,
        *stale_lines(unique_views, WaysOn.by_command(overview.folder.name)),
        *package_lines(unique_views, overview.code),
        _note_superseded(overview),
        note_removed(overview),
        _note_nan(unique_views),
        _note_damaged(overview),
        *overview.ledger.damaged_submissions.values(),
        *overview.states.passed_over_lines(),
        _note_code_versions(overview, unique_views),
        _note_wait(overview, others),
        _note_continued(overview, others),
        *dead_worker_lines(overview, unique_views),
        *held_lines(overview.states, overview.folder.name, [view.id for view in others if view.job_state.is_held]),
        _note_throttle(overview, others),
        *_gpu_share_lines(overview, others),
        *idle_lines(overview, unique_views),
        *_notes_on_imports(others),
    ]
    return [note for note in found_notes if note]


def _note_superseded(overview: Overview) -> str | None:
    count = len(overview.ledger.plans.superseded_ids())
    return (
        f"{count_noun(count, 'earlier job was', 'earlier jobs were')} replaced; to list them: --superseded"
        if count
        else None
    )


def removed_ids(overview: Overview) -> set[str]:
    """Return the jobs of points that the last launch removed from the study."""
    removed = overview.ledger.plans.removed_jobs.values()
    return {job.id for job in removed} - set(overview.ledger.plans.current_ids()) if removed else set()


def note_removed(overview: Overview) -> str | None:
    """Return how many jobs are left out because the study no longer has their points; None if there are none."""
    ids = removed_ids(overview)
    if not ids or overview.with_removed:
        return None
    active_count = sum(overview.states.of(job_id).state in ACTIVE_STATES for job_id in ids)
    active = f" ({active_count} of them queued or running)" if active_count else ""
    jobs = count_noun(len(ids), "job is", "jobs are")
    return f"{jobs} left out{active} because the last launch removed these points from the study; to list them: --all"


def _note_nan(views: Iterable[JobView]) -> str | None:
    """Name done jobs whose result has a metric that is not a number."""
    done = [(view, count) for view, count in counted(views) if view.state == "done"]
    marked = [(view, count) for view, count in done if "nan" in (view.job_state.event or {})]
    if not marked:
        return None
    names = list(dict.fromkeys(name for view, _ in marked for name in (view.job_state.event or {})["nan"]))
    jobs, more = (
        count_noun(sum(count for _, count in marked), "done job has", "done jobs have"),
        ", …" if len(names) > 3 else "",
    )
    return f"{jobs} metrics that are nan: {', '.join(names[:3])}{more}; e.g. {job_label(marked[0][0].job)}"


def _note_damaged(overview: Overview) -> str | None:
    damaged = +overview.ledger.damaged_lines
    if not damaged:
        return None
    lines = count_noun(damaged.total(), "damaged line is", "damaged lines are")
    return f"{lines} skipped in {overview.folder.events_folder}: {', '.join(sorted(damaged))}"


def _note_code_versions(overview: Overview, views: Iterable[JobView]) -> str | None:
    # One result stands for all of the same code.
    done = [(view.job, view.job_state) for view, _ in counted(views) if view.state == "done"]
    attempts = [FinishedAttempt(job, state.holding_study, state.event) for job, state in done if state.event]
    return find_code_axis(overview.code, overview.states, attempts).note()


def _note_wait(overview: Overview, views: Iterable[JobView]) -> str | None:
    """What the worker waits for: room on the disk or, if no job is running, slots."""
    live = overview.ledger.live_submissions
    if any(waits_for_room(submission.folder) for submission in live):
        return f"{FULL_DISK}; seedfold gc {overview.folder.name} lists what may be deleted"
    if any(view.state == "running" for view in views):
        return None
    return next(filter(None, (read_wait(submission.folder) for submission in live)), None)


def _note_continued(overview: Overview, views: Iterable[JobView]) -> str | None:
    """How often the cluster stopped jobs that went on by themselves and are not done yet."""
    unfinished = [view.job for view in views if view.attempt and view.state != "done"]
    rounds = {job.id: overview.ledger.record_of(job.id).rounds(*_STOPS) for job in unfinished}
    continued = [job for job in unfinished if rounds[job.id] >= _ROUNDS_WORTH_A_NOTE]
    if not continued:
        return None
    most = max(continued, key=lambda job: rounds[job.id])
    others = len(continued) - 1
    more = f"; {count_noun(others, 'other job was', 'other jobs were')} continued as well" if others else ""
    return f"{job_label(most)} was continued {rounds[most.id]} times after time limits or preemptions{more}"


def dead_workers_of(overview: Overview, views: Iterable[JobView]) -> list[DeadWorker]:
    """The dead workers that left some of these jobs, if the jobs still wait."""
    return find_dead_workers(overview.folder, {view.job.id for view in others_of(views) if view.state in _IDLE_STATES})


def dead_worker_lines(overview: Overview, views: Sequence[JobView]) -> list[str]:
    """A line for each dead worker that left some of these jobs."""
    dead_workers = dead_workers_of(overview, views)
    way_on = resume_text(overview.states, views, overview.job_views) if dead_workers else ""
    return [f"{worker.exit_reason()}; to go on: {way_on}" for worker in dead_workers]


def _note_throttle(overview: Overview, views: Iterable[JobView]) -> str | None:
    limit = overview.ledger.throttle.limit
    if limit is None or all(view.state in _ENDED_STATES for view in views):
        return None
    return f"at most {count_noun(limit, 'job')} at a time; to lift it: seedfold throttle {overview.folder.name} off"


def _gpu_share_lines(overview: Overview, views: Iterable[JobView]) -> Iterator[str]:
    """How many jobs of a stage share a GPU, as their workers have found, while some of them are left."""
    stages = {view.stage for view in views if view.state not in _ENDED_STATES}
    return (share.to_text() for share in overview.ledger.gpu_shares.of_stages() if share.stage in stages)


def idle_lines(overview: Overview, views: Sequence[JobView]) -> list[str]:
    """How many jobs wait though no worker is running, and why: they were given up, or nobody has started them."""
    states, others = overview.states, others_of(views)
    # A job that only waits in a queue, and needs no other job, is not kept back.
    held = kept_back(states, (view.job for view in others if not isinstance(view, QueuedView)))
    idle = [view for view in others if view.state in _IDLE_STATES and view.id not in held]
    idle = [view for view in idle if not is_import(view.job)]
    if not idle or overview.ledger.live_submissions or read_copy_origin(overview.folder) is not None:
        return []
    given_up = given_up_jobs(states, [*idle, *(view for view in others if view.state == "failed")])
    way_on = resume_text(states, views, overview.job_views)
    lines = list(given_up_lines(states, views, given_up, way_on))
    waiting_count = len(idle) - sum(map(len, given_up.values()))
    if waiting_count:
        waiting = count_noun(waiting_count, "job waits", "jobs wait")
        lines.append(f"{waiting} and no worker is running; to start them: {way_on}")
    return lines


def _notes_on_imports(views: Iterable[JobView]) -> Iterator[str]:
    """Name the predictions that have to be imported again, because Seedfold cannot run what made them."""
    for view in views:
        if view.state not in {"done", *ACTIVE_STATES} and is_import(view.job):
            reason = view.job_state.reason
            yield f"{job_label(view.job)} is {view.state} ({reason}): run seedfold import with the same files again"


def job_label(job: JobDescription) -> str:
    """A job as people see it: ``1a2b3c4d5e6f  train seed=3 fold=1``."""
    return f"{job.id[:SHORT_ID_LENGTH]}  {job.stage} {axes_text(job.axes)}".rstrip()


def count_by_axis_value(views: Sequence[JobView], axis: str) -> dict[str, dict[str, int]]:
    """Count states by the values of an axis. Raises UsageError for an axis that no job has."""
    from seedfold.jobs.conditions import find_axis

    known = list(dict.fromkeys(name for view in views for name in view.job.axes))
    key = find_axis(axis, known)
    if key is None:
        raise UsageError(f"--by {axis}: no such axis{did_you_mean(axis, known)}; axes: {', '.join(known) or 'none'}")
    values: dict[str, list[JobState]] = {}
    for view in views:
        if key in view.job.axes:
            values.setdefault(value_text(view.job.axes[key]), []).append(view.job_state)
    return {value: count_states(states) for value, states in values.items()}
