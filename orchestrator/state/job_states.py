"""How each job of a study stands: the ledger, the life of processes and the store, put together.

Nothing here writes. A job that another study under the same root has done, or has at work, stands as it stands there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.bulk_stat import Listing, prefetch
from seedfold.orchestrator.ledger.claims import is_claimed_alive, is_published
from seedfold.orchestrator.ledger.copy_origin import home_of, liveness_in
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.reader import Ledger, Record, done_event, process_of
from seedfold.orchestrator.settings.failures import Policies
from seedfold.results.store.published import RESULT, damage, load_result

State = Literal["waiting", "submitted", "running", "done", "failed", "blocked", "cancelled", "lost"]
STATES: tuple[State, ...] = ("waiting", "submitted", "running", "done", "failed", "blocked", "cancelled", "lost")
ALIVE: frozenset[State] = frozenset({"submitted", "running"})
"""States in which somebody is at work on the job, or will be without being asked."""
Depth = Literal["files", "recent"]
"""How results are looked at: each file of each, or of those that are younger than a day, and older ones by name."""
RECENT_S = 24 * 3600
_STOPPED: frozenset[State] = frozenset({"failed", "blocked", "cancelled"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How one job stands.

    ``attempt`` is the latest one, or the one whose result counts where the job is done; ``home`` the study whose folder
    holds it; ``event`` the last that was told of that attempt. ``settled`` says that a job is blocked because a
    parent's result leaves it nothing to do: nobody need do anything about it.
    """

    state: State
    home: StudyFolder
    attempt: int = 0
    reason: str = ""
    event: Event | None = None
    settled: bool = False


class Standings:
    """The standing of every job of a study. What was asked once is kept until `refresh`."""

    def __init__(
        self,
        root: Root,
        ledger: Ledger,
        policies: Policies,
        jobs: Mapping[str, JobDescription] | None = None,
        depth: Depth = "files",
    ) -> None:
        """``jobs`` are asked for parents; those of the study's plans unless given."""
        self.root = root
        self.ledger = ledger
        self.policies = policies
        self._jobs = ledger.plans.jobs if jobs is None else jobs
        self._known: dict[str, Standing] = {}
        self._listing = Listing()
        self._by_name_before = time.time() - RECENT_S if depth == "recent" else 0.0
        self._others: dict[str, Ledger] = {}
        self._others_read = False

    def refresh(self) -> bool:
        """Forget what was found and read what is new; tell whether this study's files had any."""
        self._known.clear()
        self._listing = Listing()
        self._others_read = False
        return self.ledger.refresh()

    def prefetch(self) -> None:
        """Look at the files of all results at once, where the file system is slow: all jobs will be asked about."""
        recent = (done for done in self.ledger.done() if done[1]["t"] >= self._by_name_before)
        prefetch(recent, lambda done: published_files(self.ledger.study, *done))

    def of(self, job: str) -> Standing:
        """Return how a job stands."""
        if job not in self._known:
            self._known[job] = self._find(job)
        return self._known[job]

    def _find(self, job: str) -> Standing:
        own = self._within(self.ledger, job)
        if own.settled and self._is_outdated(own):
            own = replace(own, state="waiting", reason="its parent has a newer result", settled=False)
        if own.state == "done" or own.state in ALIVE:
            return own
        return self.elsewhere(job) or self._blocked(job, own) or own

    def elsewhere(self, job: str) -> Standing | None:
        """How a job stands in another study of the root that has it done or at work; None if none has."""
        found = (self._within(other, job) for other in self._read_others())
        return next((standing for standing in found if _counts_elsewhere(standing)), None)

    def _read_others(self) -> Iterable[Ledger]:
        if not self._others_read:
            for study in self.root.studies():
                if study.name in self._others:
                    self._others[study.name].refresh()
                elif study.path != self.ledger.study.path:
                    self._others[study.name] = Ledger(study)
            self._others_read = True
        return self._others.values()

    def _blocked(self, job: str, own: Standing) -> Standing | None:
        if own.state not in {"waiting", "lost"} or job not in self._jobs:
            return None
        for parent in self.parents(self._jobs[job]):
            found = self.of(parent)
            if found.state in _STOPPED:
                reason = f"parent {parent[:12]} is {found.state}"
                return replace(own, state="blocked", reason=reason, settled=found.settled)
        return None

    def _is_outdated(self, verdict: Standing) -> bool:
        assert verdict.event is not None
        return any(self.of(parent).attempt != attempt for parent, attempt in verdict.event["parents"].items())

    def parents(self, job: JobDescription) -> list[str]:
        """The parents that a job needs: of several of a stage, those that are not settled, if there are any."""
        settled = {parent for parent in job.parents if self.of(parent).settled}
        if not settled:
            return list(job.parents)
        left = {self.stage(parent) for parent in job.parents if parent not in settled}
        return [parent for parent in job.parents if parent not in settled or self.stage(parent) not in left]

    def stage(self, job: str) -> str:
        """The stage of a job that is known."""
        return self._jobs[job].stage if job in self._jobs else self.ledger.plans.jobs[job].stage

    def _within(self, ledger: Ledger, job: str) -> Standing:
        record = ledger.record(job)
        standing = self._of_attempt(ledger.study, job, record)
        if standing.state == "running":
            return standing
        if standing.state == "done" and standing.attempt > ledger.rerun.get(job, -1):
            return standing
        if record.cancelled:
            return replace(standing, state="cancelled", reason=record.cancelled_how)
        if standing.settled:
            return standing
        if job in ledger.queued and not self._exhausted(record):
            return replace(standing, state="submitted")
        return standing

    def _exhausted(self, record: Record) -> bool:
        failed = record.end is not None and record.end["e"] == "failed"
        return failed and self.policies.exhausted(record.failures())

    def _of_attempt(self, study: StudyFolder, job: str, record: Record) -> Standing:
        latest = record.latest
        end = record.attempts.get(latest)
        if end is None:
            return Standing("waiting", study)
        if end["e"] == "done":
            return self._done(study, job, end)
        if end["e"] == "failed":
            return Standing("failed", study, latest, end["reason"], end)
        if end["e"] == "blocked":
            return Standing("blocked", study, latest, end["reason"], end, settled=True)
        if end["e"] == "interrupted":
            return Standing("waiting", study, latest, end["reason"], end)
        return _begun(study, job, latest, end)

    def _done(self, study: StudyFolder, job: str, event: Event) -> Standing:
        if event["t"] < self._by_name_before and self._listing.has(study, job, event["n"]):
            return Standing("done", study, event["n"], "", event)
        return _done(study, job, event)


def _counts_elsewhere(standing: Standing) -> bool:
    """Whether a job need not be done, since another study has it; in a copy nobody is at work."""
    return standing.state == "done" or (standing.state in ALIVE and home_of(standing.home) is None)


def published_files(study: StudyFolder, job: str, event: Event) -> list[str]:
    """Return the files that a ``done`` event says are there."""
    folder = study.published_text(job, event["n"])
    return [f"{folder}/{name}" for name in (*event["files"], RESULT)]


def _done(study: StudyFolder, job: str, event: Event) -> Standing:
    reason = damage(study.published_text(job, event["n"]), event["files"])
    return Standing("lost" if reason else "done", study, event["n"], reason or "", event)


def _begun(study: StudyFolder, job: str, attempt: int, event: Event) -> Standing:
    """An attempt that told of its start and of nothing since."""
    if liveness_in(study, process_of(event)) != "dead" and is_claimed_alive(study, job):
        return Standing("running", study, attempt, event=event)
    if is_published(study, job, attempt):
        return _done(study, job, unnoticed(study, job, attempt))
    return Standing("lost", study, attempt, "its process disappeared without a word", event)


def unnoticed(study: StudyFolder, job: str, attempt: int) -> Event:
    """The ``done`` that nobody lived to tell, from what the attempt published."""
    result = load_result(study.published(job, attempt))
    return {"e": "done", "t": result.ended, **done_event(job, attempt, result)}


def count_states(standings: Iterable[Standing]) -> dict[str, int]:
    """Count standings by state; every state has its key."""
    counts: dict[str, Any] = dict.fromkeys(STATES, 0)
    counts.update(Counter(standing.state for standing in standings))
    return counts
