"""What the files of a study say of every job: plans, attempts, submissions.

Files are the truth and nothing here writes. An attempt's states never go backwards: whatever order events are read
in, ``done`` wins over ``failed``, and so on down to ``blocked``, ``interrupted`` and ``started``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from seedfold.orchestrator.ledger.events import Event, EventReader
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.ledger.process_identity import ProcessIdentity
from seedfold.orchestrator.ledger.submissions import Submission, Submissions
from seedfold.results.store.published import Result

_RANK = {"started": 0, "interrupted": 1, "blocked": 2, "failed": 3, "done": 4}


@dataclass(slots=True)
class Record:
    """What the events say of one job."""

    attempts: dict[int, Event] = field(default_factory=dict)
    started: dict[int, Event] = field(default_factory=dict)
    cancelled_at: float = -inf
    cancelled_how: str = ""
    resumed_at: float = -inf
    resumed_after: int = -1

    def take(self, event: Event) -> None:
        """Fold one event in."""
        kind, attempt = event["e"], int(event["n"])
        if kind == "cancelled":
            if event["t"] > self.cancelled_at:
                self.cancelled_at, self.cancelled_how = event["t"], event.get("reason", "cancelled by a person")
        elif kind == "resumed":
            self.resumed_at = max(self.resumed_at, event["t"])
            self.resumed_after = max(self.resumed_after, attempt)
        else:
            self._take_attempt(attempt, event)

    def _take_attempt(self, attempt: int, event: Event) -> None:
        if event["e"] == "started":
            self.started[attempt] = event
        known = self.attempts.get(attempt)
        if known is None or _RANK[event["e"]] > _RANK[known["e"]]:
            self.attempts[attempt] = event

    @property
    def latest(self) -> int:
        """Number of the latest attempt; 0 if there was none."""
        return max(self.attempts) if self.attempts else 0

    @property
    def end(self) -> Event | None:
        """The last that is known of the latest attempt."""
        return self.attempts.get(self.latest)

    @property
    def done(self) -> Event | None:
        """The latest ``done``: its predictions are the job's result, whatever happened to later attempts."""
        finished = [number for number, event in self.attempts.items() if event["e"] == "done"]
        return self.attempts[max(finished)] if finished else None

    def failures(self) -> list[Event]:
        """The failed attempts since the job was last resumed by a person, in order."""
        return [
            event
            for number, event in sorted(self.attempts.items())
            if event["e"] == "failed" and number > self.resumed_after
        ]

    @property
    def cancelled(self) -> bool:
        """Whether a person cancelled the job, nobody has resumed it since, and no attempt was through before it heard.

        An attempt that began at that moment changes nothing: it is stopped.
        """
        if self.cancelled_at <= self.resumed_at:
            return False
        done = self.done
        return done is None or done["t"] <= self.cancelled_at


class Ledger:
    """The plans, records and live submissions of one study, read as they come."""

    def __init__(self, study: StudyFolder) -> None:
        self.study = study
        self.plans = Plans(study)
        self.live: list[Submission] = []
        self.queued: dict[str, Submission] = {}
        self.handed_over: Mapping[str, Submission] = {}
        self.rerun: dict[str, int] = {}
        self.cancelled: set[str] = set()
        """Jobs that a person cancelled and nobody has resumed since."""
        self._records: defaultdict[str, Record] = defaultdict(Record)
        self._events = EventReader(study.events)
        self._submissions = Submissions(study)
        self.refresh()

    def refresh(self) -> bool:
        """Read what is new; tell whether a plan or an event was.

        Submissions come first: whatever a worker told before it ended is then among the events that follow.
        """
        self._submissions.refresh()
        self.live, self.queued = self._submissions.live, self._submissions.queued
        self.handed_over = self._submissions.handed_over
        self.rerun = {job: attempt for submission in self.live for job, attempt in submission.rerun.items()}
        planned = self.plans.refresh()
        events = self._events.new()
        for event in events:
            self._fold(event)
        return planned or bool(events)

    def _fold(self, event: Event) -> None:
        if "jobs" not in event:
            self._take(event["job"], event)
            return
        for job, attempt in event["jobs"].items():
            self._take(job, {**event, "n": attempt})

    def _take(self, job: str, event: Event) -> None:
        record = self._records[job]
        record.take(event)
        if record.cancelled:
            self.cancelled.add(job)
        elif self.cancelled:
            self.cancelled.discard(job)

    @property
    def damaged(self) -> Counter[str]:
        """Lines of events that could not be read, by the name of their file."""
        return self._events.damaged

    def record(self, job: str) -> Record:
        """What the events say of a job; an empty record if they say nothing."""
        return self._records.get(job) or Record()

    def done(self) -> Iterator[tuple[str, Event]]:
        """Yield each job whose latest attempt is done, with that event."""
        for job, record in self._records.items():
            end = record.end
            if end is not None and end["e"] == "done":
                yield job, end


def process_of(event: Event) -> ProcessIdentity:
    """The process that a ``started`` event names."""
    return ProcessIdentity(**event["process"])


def done_event(job: str, attempt: int, result: Result) -> dict[str, Any]:
    """The details of a ``done`` event, from what the attempt published."""
    return {
        "job": job,
        "n": attempt,
        "seconds": round(result.seconds, 3),
        "parents": result.parents,
        "reads": result.reads,
        "code": result.code,
        "files": result.files,
        "host": result.provenance["host"],
    }
