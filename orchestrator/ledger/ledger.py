"""What the files of a study say of every job: plans, attempts, submissions.

Only the files count, and nothing here writes to them. The state of an attempt never goes backwards: in whatever order
events are read, ``done`` wins over ``failed``, and so on down to ``blocked``, ``paused``, ``interrupted`` and
``started``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.event_log import EventLog
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.gpu_shares import GpuShares
from seedfold.orchestrator.ledger.holds import Hold
from seedfold.orchestrator.ledger.job_table import DONE, EVENT_RANK, NOBODY, STARTED, JobTable
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.ledger.submissions import Submission, Submissions
from seedfold.orchestrator.ledger.task_scope import TaskScope, is_file_ended, related_jobs
from seedfold.orchestrator.ledger.throttle import Throttle
from seedfold.results.store.published import Result, nan_metrics, result_record

_MOST_RECORDS = 1_000
"""How many records of jobs stay in memory after somebody has asked for them."""


@dataclass(slots=True)
class JobRecord:
    """What the events say of one job."""

    last_events: dict[int, Event] = field(default_factory=dict)
    start_events: dict[int, Event] = field(default_factory=dict)
    cancelled_at: float = -inf
    cancel_reason: str = ""
    resumed_at: float = -inf
    resumed_after_attempt: int = -1
    promoted_after_attempt: int = -1
    trains_to_end: bool = False
    """Whether a person has had the job trained to its end, whatever its search wants."""
    held_event: Event | None = None
    released_at: float = -inf

    def add_event(self, event: Event) -> None:
        """Add one event to what is known."""
        kind, attempt = event["e"], int(event["n"])
        if kind == "cancelled":
            if event["t"] > self.cancelled_at:
                self.cancelled_at, self.cancel_reason = event["t"], event.get("reason", "cancelled by a person")
        elif kind == "resumed":
            self.resumed_at = max(self.resumed_at, event["t"])
            self.resumed_after_attempt = max(self.resumed_after_attempt, attempt)
        elif kind == "promoted":
            self.promoted_after_attempt = max(self.promoted_after_attempt, attempt)
            self.trains_to_end = self.trains_to_end or bool(event.get("to_end"))
        elif kind == "held":
            if self.held_event is None or event["t"] > self.held_event["t"]:
                self.held_event = event
        elif kind == "released":
            self.released_at = max(self.released_at, event["t"])
        else:
            self._add_attempt_event(attempt, event)

    def _add_attempt_event(self, attempt: int, event: Event) -> None:
        start_event = self.start_events.get(attempt)
        if event["e"] == "started" and (start_event is None or event["t"] >= start_event["t"]):
            self.start_events[attempt] = event
        last_event = self.last_events.get(attempt)
        if last_event is None or _rank(event) > _rank(last_event):
            self.last_events[attempt] = event

    @property
    def latest_attempt(self) -> int:
        """Number of the latest attempt; 0 if there was none."""
        return max(self.last_events) if self.last_events else 0

    @property
    def latest_event(self) -> Event | None:
        """The event that decides the state of the latest attempt."""
        return self.last_events.get(self.latest_attempt)

    @property
    def done_event(self) -> Event | None:
        """The latest ``done``: its predictions are the job's result, whatever happened to later attempts."""
        finished = [number for number, event in self.last_events.items() if event["e"] == "done"]
        return self.last_events[max(finished)] if finished else None

    def failures(self) -> list[Event]:
        """The failed attempts since the job was last resumed by a person, in order."""
        return [
            event
            for number, event in sorted(self.last_events.items())
            if event["e"] == "failed" and number > self.resumed_after_attempt
        ]

    @property
    def has_failed(self) -> bool:
        """Whether an attempt ever failed, even if the job was resumed since."""
        return any(event["e"] == "failed" for event in self.last_events.values())

    def rounds(self, *why: str) -> int:
        """How often the job was stopped for one of these reasons, ``timeout`` or ``preempted``, and went on by itself.

        Only attempts since the job was last resumed by a person count.
        """
        return sum(
            event["e"] == "interrupted" and event.get("why") in why and number > self.resumed_after_attempt
            for number, event in self.last_events.items()
        )

    @property
    def is_cancelled(self) -> bool:
        """Whether a person cancelled the job, nobody has resumed it since, and no attempt was done before that.

        An attempt that began at that moment does not count: it is stopped.
        """
        if self.cancelled_at <= self.resumed_at:
            return False
        done = self.done_event
        return done is None or done["t"] <= self.cancelled_at

    @property
    def is_paused(self) -> bool:
        """Whether the latest attempt was paused by a search, and the search has not sent the job on since."""
        latest = self.latest_event
        return latest is not None and latest["e"] == "paused" and self.latest_attempt > self.promoted_after_attempt

    @property
    def hold(self) -> Hold | None:
        """The hold of a job that was held, and neither released nor cancelled since; None if there is none.

        A job that had begun at that moment, and was done after it, is not held.
        """
        if self.held_event is None or self.held_event["t"] <= max(self.released_at, self.cancelled_at):
            return None
        done = self.done_event
        return Hold.from_event(self.held_event) if done is None or done["t"] <= self.held_event["t"] else None


def _rank(event: Event) -> tuple[int, float]:
    """Of two events of an attempt, the one of the higher rank counts; of two of the same rank, the earlier one."""
    return EVENT_RANK[event["e"]], -event["t"]


class Ledger:
    """The plans, job records and live submissions of one study; each `refresh` reads what is new."""

    def __init__(self, study: StudyFolder, *, keeps: bool = True, about: Iterable[str] | None = None) -> None:
        """``keeps`` says whether what was read may be kept for later commands.

        If it is to be ``about`` some jobs, what concerns neither them nor what they depend on may be left unread.
        """
        self.study = study
        self.plans = Plans(study, keeps=keeps)
        related = None if about is None else related_jobs(self.plans.jobs, about)
        self._scope = None if related is None else TaskScope(related)
        self.live_submissions: list[Submission] = []
        self.open_submission_of: dict[str, Submission] = {}
        self.last_submission_of: Mapping[str, Submission] = {}
        self.rerun_attempts: dict[str, int] = {}
        self._submissions = Submissions(study, None if self._scope is None else self._scope.add)
        # What is kept of ended tasks is compared with their files once, and not again at the first `refresh`.
        self._submissions.refresh()
        is_ended = partial(is_file_ended, self._submissions)
        self._log = EventLog(study, None if self._scope is None else self._scope.has_file, is_ended)
        self._records: dict[str, JobRecord] = {}
        self._cancelled: set[str] | None = None
        self._touched: set[str] = set()
        self._has_news = False
        self.refresh()
        if keeps and self._scope is None:
            self._log.keep()

    @property
    def is_partial(self) -> bool:
        """Whether it has been read for some jobs only."""
        return self._scope is not None

    def refresh(self) -> bool:
        """Read what is new; return whether there was a new plan or a new event.

        Submissions are read first: all events that a worker recorded before it ended are then among the events read
        after them.
        """
        planned = self._read()
        while self._scope is not None and self._scope.add_jobs(self._pilots(self._scope.jobs)):
            self._submissions.begin_again()
            planned |= self._read()
        has_news, self._has_news = self._has_news, False
        return planned or has_news

    def _read(self) -> bool:
        """Read what is new; return whether there was a new plan."""
        self._submissions.refresh()
        self.live_submissions, self.open_submission_of = self._submissions.live, self._submissions.open_submission_of
        self.last_submission_of = self._submissions.last_submission_of
        self.rerun_attempts = {
            job: attempt for submission in self.live_submissions for job, attempt in submission.rerun_attempts.items()
        }
        planned = self.plans.refresh()
        self._add_jobs_of_search()
        self._add_new(self._log.read_new())
        return planned

    def _add_jobs_of_search(self) -> None:
        """Count the jobs of a search as submitted while workers of the search are alive: each of them may run each."""
        search = self.open_submission_of.get(SEARCH_JOB)
        if search is not None:
            self.open_submission_of = {**dict.fromkeys(self.plans.trial_jobs, search), **self.open_submission_of}

    def _pilots(self, jobs: Iterable[str]) -> set[str]:
        """The pilot jobs for which jobs are held."""
        holds = (self.record_of(job).hold for job in jobs)
        return {pilot for hold in holds if hold is not None for pilot in hold.pilots}

    def look_past_caches(self) -> None:
        """Read events that other machines have recorded and that caches of this machine still hide."""
        self._add_new(self._log.read_past_caches())

    def _add_new(self, added: Iterable[tuple[str | None, Event]]) -> None:
        """Add events to the records that are in memory; the table of the log has all of them."""
        for job, event in added:
            self._has_news = True
            if job is None:
                continue
            if job in self._records:
                self._records[job].add_event(event)
            if self._cancelled is not None:
                self._touched.add(job)

    @property
    def throttle(self) -> Throttle:
        """How many jobs may run at a time."""
        return self._log.throttle

    @property
    def gpu_shares(self) -> GpuShares:
        """How many jobs of each stage share a GPU well, as workers have found."""
        return self._log.gpu_shares

    @property
    def table(self) -> JobTable:
        """What the events say of all jobs, as columns."""
        return self._log.table

    @property
    def cancelled_jobs(self) -> set[str]:
        """Jobs that a person cancelled and that nobody has resumed since."""
        if self._cancelled is None:
            self._cancelled, self._touched = set(), set(self._log.ever_cancelled())
        for job in self._touched:
            if self.record_of(job).is_cancelled:
                self._cancelled.add(job)
            else:
                self._cancelled.discard(job)
        self._touched.clear()
        return self._cancelled

    @property
    def damaged_submissions(self) -> Mapping[str, str]:
        """Why submissions cannot be read, by their folder."""
        return self._submissions.damaged

    @property
    def damaged_lines(self) -> Counter[str]:
        """The number of lines of events that could not be read, by the name of their file."""
        return self._log.damaged_lines

    def record_of(self, job_id: str) -> JobRecord:
        """The record of a job; an empty record if there is no event of it."""
        record = self._records.get(job_id)
        if record is None:
            record = JobRecord()
            if self.table.row(job_id) == NOBODY:
                return record
            for event in self._log.events_of(job_id):
                record.add_event(event)
            if len(self._records) >= _MOST_RECORDS:
                self._records.clear()
            self._records[job_id] = record
        return record

    def is_done(self, job_id: str) -> bool:
        """Whether the latest attempt of a job has recorded that it was done."""
        return self.table.ranks[self.table.row(job_id)] == DONE

    def has_begun(self, job_id: str) -> bool:
        """Whether the latest attempt of a job has recorded its start and nothing after it."""
        return self.table.ranks[self.table.row(job_id)] == STARTED

    def latest_event(self, job_id: str) -> Event | None:
        """The event that decides the state of a job's latest attempt; None if it was never tried."""
        return self._log.latest_event(job_id)

    def latest_time(self) -> float:
        """When the latest of the events was that decide the states of jobs; 0 if there is none."""
        return self._log.latest_time()

    def done_events(self) -> Iterator[tuple[str, Event]]:
        """Yield each job whose latest attempt is done, with that event."""
        return self._log.done_events()


def process_of_event(event: Event) -> ProcessIdentity:
    """The process that a ``started`` event names."""
    return ProcessIdentity.from_dict(event["process"])


def done_event_details(job_id: str, attempt: int, result: Result, folder: Path) -> dict[str, Any]:
    """The details of a ``done`` event, from what the attempt published in ``folder``."""
    return {
        "job": job_id,
        "n": attempt,
        "seconds": round(result.seconds, 3),
        "parents": result.parents,
        "reads": result.reads,
        "code": result.code,
        "files": result.files,
        "result": result_record(folder),
        "host": result.provenance["host"],
        "usage": result.provenance.get("usage", {}),
        **({"nan": names} if (names := nan_metrics(result.metrics)) else {}),
    }
