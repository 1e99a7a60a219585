"""The state of each job of a study, from the ledger, the processes that are alive, and the result store.

Nothing here writes. If another study under the same root has done a job, or is running it, the job has the state that
it has there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.ledger.bulk_stat import ClaimListing, StoreListing, prefetch_stats
from seedfold.orchestrator.ledger.claims import has_live_claim, is_published
from seedfold.orchestrator.ledger.copy_origin import is_copy, process_liveness
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.fresh_views import FreshViews
from seedfold.orchestrator.ledger.holds import Hold
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import JobRecord, Ledger, done_event_details, process_of_event
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.states_in_bulk import Alike, expected_paths, find_done
from seedfold.results.store.published import DamagedError, find_damage, load_result

StateName = Literal["waiting", "submitted", "running", "paused", "done", "failed", "blocked", "cancelled", "lost"]
STATES: tuple[StateName, ...] = get_args(StateName)
ACTIVE_STATES: frozenset[StateName] = frozenset({"submitted", "running"})
"""States of jobs that are running, or that will run without any command."""
ResultCheck = Literal["files", "recent"]
"""How results are checked: every file of each result, or the files of results younger than a day and only the names of
older ones."""
RECENT_S = 24 * 3600
_STOPPED_STATES: frozenset[StateName] = frozenset({"failed", "blocked", "cancelled"})


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of one job.

    ``attempt`` is the latest attempt, or for a job that is done the attempt whose result counts. ``holding_study`` is
    the study whose folder holds the attempt, and ``event`` is the last event of it. ``has_nothing_to_do`` means that
    the job is blocked because a parent's result leaves it nothing to do, so that nobody has to act. ``is_held`` means
    that no worker begins the job. It is ``submitted`` if it will be released without any command, else ``waiting``.
    """

    state: StateName
    holding_study: StudyFolder
    attempt: int = 0
    reason: str = ""
    event: Event | None = None
    has_nothing_to_do: bool = False
    is_held: bool = False


class JobStates:
    """The states of all jobs of a study. Each state is kept until `refresh`, once it has been found."""

    def __init__(
        self,
        root: Root,
        ledger: Ledger,
        policies: RetryPolicies,
        jobs: Mapping[str, JobDescription] | None = None,
        result_check: ResultCheck = "files",
    ) -> None:
        """``jobs`` are the jobs among which parents are looked up, by default those of the study's plans."""
        self.root = root
        self.ledger = ledger
        self.policies = policies
        self._jobs = ledger.plans.jobs if jobs is None else jobs
        self._state_of_job: dict[str, JobState] = {}
        self._listing = StoreListing()
        self._views = FreshViews()
        self._listed_before = time.time() - RECENT_S if result_check == "recent" else 0.0
        self._other_ledgers: dict[str, Ledger] = {}
        self._others_are_read = False
        self._fresh = set[Path]()
        """The other studies that were read since the last `refresh`."""
        self._claims: ClaimListing | None = None
        self._done_pilots: dict[int, tuple[Sequence[str], bool]] = {}
        self._asked_pilots: set[str] = set()
        self.passed_over: dict[str, str] = {}
        """Other studies of the root that cannot be read, and why; what they have done does not count."""

    def refresh(self) -> bool:
        """Forget the states and read what is new; return whether this study's files had anything new."""
        self._state_of_job.clear()
        self._done_pilots.clear()
        self._listing = StoreListing()
        self._others_are_read = False
        self._fresh.clear()
        self._claims = None
        return self.ledger.refresh()

    def prefetch_results(self, jobs: Iterable[str]) -> None:
        """Look up the files of the results of jobs at once if the file system is slow, for callers that need all."""
        table, study = self.ledger.table, self.ledger.study
        rows = [
            row for row in table.rows_with(jobs) if table.kinds[row] >= 0 and table.times[row] >= self._listed_before
        ]
        prefetch_stats(rows, lambda row: expected_paths(study, table, row))

    def find_done(self, planned: Sequence[int]) -> dict[Alike, list[int]]:
        """Return which of the ``planned`` rows are done for sure, by what they have in common (see `find_done`)."""
        return find_done(self.ledger, self._listed_before, planned)

    def of(self, job_id: str) -> JobState:
        """Return the state of a job."""
        if job_id not in self._state_of_job:
            self._state_of_job[job_id] = self._find_state(job_id)
        return self._state_of_job[job_id]

    def of_this_study(self, job_id: str) -> JobState:
        """Return the state of a job as this study alone has it."""
        return self._state_in_study(self.ledger, job_id)

    def _find_state(self, job_id: str) -> JobState:
        job_state = self.of_this_study(job_id)
        if job_state.has_nothing_to_do and self._is_outdated(job_state):
            reason = "its parent has a newer result"
            job_state = replace(job_state, state="waiting", reason=reason, has_nothing_to_do=False)
        if job_state.state == "submitted" and job_id not in self.ledger.rerun_attempts:
            # Two studies that were launched at the same moment both have it, and the other one was faster.
            elsewhere = self.find_elsewhere(job_id)
            return elsewhere if elsewhere is not None and elsewhere.state == "done" else job_state
        if job_state.state == "done" or job_state.state in ACTIVE_STATES:
            return job_state
        return self.find_elsewhere(job_id) or self._blocked_by_parent(job_id, job_state) or job_state

    def find_elsewhere(self, job_id: str) -> JobState | None:
        """The state of a job in another study of the root that has done it or is running it; None if there is none."""
        for other in self._others_with(job_id):
            try:
                job_state = self._state_in_study(other, job_id)
                if _counts_for_others(job_state):
                    return job_state
            except DamagedFileError as error:
                self.passed_over[other.study.name] = str(error)
        return None

    def _others_with(self, job_id: str) -> Iterable[Ledger]:
        """The ledgers of other studies that may have a job.

        Who asks for jobs that this study has queued reads no study in which none of them has begun: if another one has
        such a job only in its queue as well, whoever is first runs it. What has begun since is seen by whoever claims
        the job (`is_done_in`).
        """
        if self._others_are_read or job_id not in self.ledger.open_submission_of:
            return self._read_other_studies()
        return self._ledgers_of(self.claims_of_queued().studies_of(job_id))

    def claims_of_queued(self) -> ClaimListing:
        """In which other studies the jobs were begun that this study has queued."""
        queued = self.ledger.open_submission_of
        if self._claims is None or self._claims.jobs is not queued:
            self._claims = ClaimListing(self._list_other_folders(), queued)
        return self._claims

    def _list_other_folders(self) -> list[StudyFolder]:
        own = self.ledger.study.path
        return [study for study in self.root.study_folders() if study.path != own]

    def _ledgers_of(self, folders: Iterable[StudyFolder]) -> list[Ledger]:
        for folder in folders:
            if folder.path not in self._fresh:
                self._fresh.add(folder.path)
                self._read_other_study(folder)
        return [self._other_ledgers[folder.name] for folder in folders if folder.name in self._other_ledgers]

    def ledgers_of_root(self) -> list[Ledger]:
        """The ledger of this study, and those of the other studies of the root that can be read."""
        return [self.ledger, *self._read_other_studies()]

    def _read_other_studies(self) -> Iterable[Ledger]:
        if not self._others_are_read:
            self._ledgers_of(self._list_other_folders())
            self._others_are_read = True
        return self._other_ledgers.values()

    def _read_other_study(self, study: StudyFolder) -> None:
        """Read a study, or what is new in it. A study that cannot be read stops no other study."""
        try:
            if study.name in self._other_ledgers:
                self._other_ledgers[study.name].refresh()
            else:
                self._other_ledgers[study.name] = Ledger(study)
        except (DamagedFileError, OSError) as error:
            self._other_ledgers.pop(study.name, None)
            self.passed_over[study.name] = str(error)

    def passed_over_lines(self) -> list[str]:
        """Which other studies could not be read, one line each."""
        return [f"study {name} is passed over: {reason}" for name, reason in sorted(self.passed_over.items())]

    def _blocked_by_parent(self, job_id: str, own_state: JobState) -> JobState | None:
        if own_state.state not in {"waiting", "lost"} or job_id not in self._jobs:
            return None
        for parent in self.needed_parents(self._jobs[job_id]):
            parent_state = self.of(parent)
            if parent_state.state in _STOPPED_STATES:
                reason = f"parent {parent[:12]} is {parent_state.state}"
                done_with = parent_state.has_nothing_to_do
                return replace(own_state, state="blocked", reason=reason, has_nothing_to_do=done_with)
        return None

    def _is_outdated(self, job_state: JobState) -> bool:
        assert job_state.event is not None
        return any(self.of(parent).attempt != attempt for parent, attempt in job_state.event.get("parents", {}).items())

    def needed_parents(self, job: JobDescription) -> list[str]:
        """The parents that a job needs: without those that have nothing to do, if others of their stage remain."""
        unneeded = {parent for parent in job.parents if self.of(parent).has_nothing_to_do}
        if not unneeded:
            return list(job.parents)
        remaining_stages = {self.stage_of(parent) for parent in job.parents if parent not in unneeded}
        return [
            parent for parent in job.parents if parent not in unneeded or self.stage_of(parent) not in remaining_stages
        ]

    def job(self, job_id: str) -> JobDescription | None:
        """The description of a job; None for one that no plan of the study has named."""
        return self._jobs.get(job_id) or self.ledger.plans.jobs.get(job_id)

    def stage_of(self, job_id: str) -> str:
        """The stage of a known job."""
        return self._jobs[job_id].stage if job_id in self._jobs else self.ledger.plans.jobs[job_id].stage

    def _state_in_study(self, ledger: Ledger, job_id: str) -> JobState:
        """The state of a job in a study. Before a job is called lost, what caches of this machine hide is looked at."""
        job_state = self._visible_state(ledger, job_id)
        if job_state.state != "lost" or not self._views.refresh(ledger, job_id, job_state.attempt):
            return job_state
        return self._visible_state(ledger, job_id)

    def _visible_state(self, ledger: Ledger, job_id: str) -> JobState:
        if ledger.is_done(job_id) and (event := ledger.latest_event(job_id)) is not None:
            # Most jobs of most studies: nothing else is read of them.
            job_state = self._state_of_done(ledger.study, job_id, event)
            if job_state.state == "done" and job_state.attempt > ledger.rerun_attempts.get(job_id, -1):
                return job_state
        record = ledger.record_of(job_id)
        job_state = self._state_of_attempt(ledger.study, job_id, record)
        if job_state.state == "running":
            return job_state
        if job_state.state == "done" and job_state.attempt > ledger.rerun_attempts.get(job_id, -1):
            return job_state
        if record.is_cancelled:
            return replace(job_state, state="cancelled", reason=record.cancel_reason)
        if job_state.has_nothing_to_do or job_state.state == "paused":
            return job_state
        is_open = job_id in ledger.open_submission_of and not self._is_exhausted(record)
        hold = self._hold_in(ledger, record)
        if hold is None:
            return replace(job_state, state="submitted") if is_open else job_state
        if job_state.state == "failed" and not is_open:
            return replace(job_state, is_held=True)
        return self._state_on_hold(job_state, hold, is_open and ledger is self.ledger)

    # --- holds --------------------------------------------------------------------------------------------------------

    def hold_of(self, job_id: str) -> Hold | None:
        """The hold under which a job is now; None if workers may begin it."""
        return self._hold_in(self.ledger, self.ledger.record_of(job_id))

    def count_held(self, jobs: Iterable[str]) -> int:
        """How many of the jobs are held, as far as the ledger has been read."""
        return sum(self.hold_of(job) is not None for job in jobs)

    def is_left_on_hold(self, job_id: str) -> bool:
        """Whether a job is held and need not be submitted: only a person can release it, or it is submitted already."""
        hold = self.hold_of(job_id)
        return hold is not None and (not hold.is_auto or job_id in self.ledger.open_submission_of)

    def _hold_in(self, ledger: Ledger, record: JobRecord) -> Hold | None:
        hold = record.hold
        if hold is None or not hold.is_auto:
            return hold
        # The jobs of one event share the list of its pilot jobs. It is kept, so that no other list has its number.
        key = id(hold.pilots)
        if key not in self._done_pilots:
            self._done_pilots[key] = hold.pilots, all(self._is_pilot_done(ledger, pilot) for pilot in hold.pilots)
        return None if self._done_pilots[key][1] else hold

    def _is_pilot_done(self, ledger: Ledger, pilot: str) -> bool:
        """Whether a pilot job has ever been done, or has nothing to do. What was done once stays so."""
        record = ledger.record_of(pilot)
        if record.done_event is not None or (record.latest_event is not None and record.latest_event["e"] == "blocked"):
            return True
        if ledger is not self.ledger:
            return False
        elsewhere = self.find_elsewhere(pilot)
        return elsewhere is not None and elsewhere.state == "done"

    def _state_on_hold(self, job_state: JobState, hold: Hold, is_open: bool) -> JobState:
        comes_free = is_open and hold.is_auto and all(map(self._is_pilot_coming, hold.pilots))
        reason = "held until the pilot jobs are done" if hold.pilots else "held by a person"
        state: StateName = "submitted" if comes_free else "lost" if job_state.state == "lost" else "waiting"
        return replace(job_state, state=state, reason=job_state.reason if state == "lost" else reason, is_held=True)

    def _is_pilot_coming(self, pilot: str) -> bool:
        """Whether a pilot job is done, or will be done without any command."""
        if pilot in self._asked_pilots or self.ledger.record_of(pilot).hold is not None:
            return False
        self._asked_pilots.add(pilot)
        try:
            state = self.of(pilot)
        finally:
            self._asked_pilots.discard(pilot)
        return state.state == "done" or state.state in ACTIVE_STATES or state.has_nothing_to_do

    def _is_exhausted(self, record: JobRecord) -> bool:
        failed = record.latest_event is not None and record.latest_event["e"] == "failed"
        return failed and self.policies.retries_are_exhausted(record.failures())

    def _state_of_attempt(self, study: StudyFolder, job_id: str, record: JobRecord) -> JobState:
        latest = record.latest_attempt
        end = record.last_events.get(latest)
        if end is None:
            return JobState("waiting", study)
        if end["e"] == "done":
            return self._state_of_done(study, job_id, end)
        if end["e"] == "failed":
            return JobState("failed", study, latest, end["reason"], end)
        if end["e"] == "blocked":
            return JobState("blocked", study, latest, end["reason"], end, has_nothing_to_do=True)
        if end["e"] == "paused":
            state: StateName = "paused" if record.is_paused else "waiting"
            return JobState(state, study, latest, f"paused after {count_noun(end['epochs'], 'epoch')}", end)
        if end["e"] == "interrupted":
            return JobState("waiting", study, latest, end["reason"], end)
        return _state_of_started(study, job_id, latest, end)

    def _state_of_done(self, study: StudyFolder, job_id: str, event: Event) -> JobState:
        if event["t"] < self._listed_before and self._listing.has_result(study, job_id, event["n"]):
            return JobState("done", study, event["n"], "", event)
        return _check_done(study, job_id, event)


def is_done_in(root: Root, study: StudyFolder, job_id: str) -> bool:
    """Whether a job is done in a study, for other studies of its root; not if the study cannot be read."""
    try:
        ledger = Ledger(study, keeps=False, about=[job_id])
        return JobStates(root, ledger, RetryPolicies.parse({})).of_this_study(job_id).state == "done"
    except (DamagedFileError, OSError):
        return False


def _counts_for_others(job_state: JobState) -> bool:
    """Whether a job need not be run because another study has done it or is running it. In a copy no job is running."""
    return job_state.state == "done" or (job_state.state in ACTIVE_STATES and not is_copy(job_state.holding_study))


def _check_done(study: StudyFolder, job_id: str, event: Event) -> JobState:
    reason = find_damage(study.result_folder_text(job_id, event["n"]), event["files"], result=event.get("result"))
    return JobState("lost" if reason else "done", study, event["n"], reason or "", event)


def _state_of_started(study: StudyFolder, job_id: str, attempt: int, event: Event) -> JobState:
    """The state of an attempt that has recorded its start and nothing after it."""
    if process_liveness(study, process_of_event(event)) != "dead" and has_live_claim(study, job_id):
        return JobState("running", study, attempt, event=event)
    if is_published(study, job_id, attempt):
        try:
            return _check_done(study, job_id, unrecorded_done_event(study, job_id, attempt))
        except DamagedError as error:
            return JobState("lost", study, attempt, str(error), event)
    return JobState("lost", study, attempt, "its process ended and recorded no reason", event)


def unrecorded_done_event(study: StudyFolder, job_id: str, attempt: int) -> Event:
    """The ``done`` event that was never recorded because the process was killed, rebuilt from the published result.

    Raises DamagedError if the result cannot be read.
    """
    folder = study.result_folder(job_id, attempt)
    result = load_result(folder)
    return {"e": "done", "t": result.ended, **done_event_details(job_id, attempt, result, folder)}


def count_states(states: Iterable[JobState]) -> dict[str, int]:
    """Count job states; every state has a key."""
    counts: dict[str, Any] = dict.fromkeys(STATES, 0)
    counts.update(Counter(job_state.state for job_state in states))
    return counts
