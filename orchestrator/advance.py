"""What is to follow on a cluster: idempotent, seconds long, run by every command and by the keeper jobs.

Four steps, each of which may be cut off anywhere and done again by anybody at the same time: find submissions whose
number was lost, close tasks that ended without a word, hand over again what is to be tried again, and send what has
not been sent as far as limits allow. The scheduler is asked once, before the ledger is read, so that what a task told
before it ended is known when its end is judged.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UnreachableError, counted
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.backend import Answer, Backend, RefusedError, TaskState, backend_of
from seedfold.orchestrator.claims import is_published
from seedfold.orchestrator.cluster import Cluster
from seedfold.orchestrator.copies.home import refuse_copy
from seedfold.orchestrator.events import EventWriter
from seedfold.orchestrator.failures import Failure, Policies
from seedfold.orchestrator.files import create_once
from seedfold.orchestrator.intents import make_intents
from seedfold.orchestrator.layout import Root, StudyFolder
from seedfold.orchestrator.ledger import Ledger, Record
from seedfold.orchestrator.progress import progressed
from seedfold.orchestrator.standing import ALIVE, Standings
from seedfold.orchestrator.submissions import Submission
from seedfold.orchestrator.tasks import TaskMark
from seedfold.orchestrator.trials import (
    begin_trial,
    last_trial,
    left_behind,
    note_number,
    note_unheard,
    refuse,
    sent_at,
    was_tried,
)

_LATER_S = 100.0
"""Seconds in which one keeper that comes later is enough, whoever asks for it."""
_VANISHED = "its task vanished from the queue"


@dataclass(slots=True)
class Advanced:
    """What one call did: numbers of tasks, and what the scheduler refused or did not answer.

    ``put_off`` tells that a later call, in a minute or so, will know more than this one.
    """

    sent: int = 0
    held: int = 0
    closed: int = 0
    renewed: int = 0
    put_off: bool = False
    problems: list[str] = field(default_factory=list)
    answer: Answer = field(default_factory=dict)

    def __str__(self) -> str:
        counts = {"sent": self.sent, "held back": self.held, "closed": self.closed, "tried again": self.renewed}
        told = ", ".join(f"{count} tasks {what}" for what, count in counts.items() if count)
        return "; ".join([told, *self.problems] if told else self.problems) or "nothing to do"


def advance(root: Root, study: StudyFolder) -> Advanced:
    """Take every step that can be taken now. Raises UnreachableError if the scheduler does not answer at all.

    Raises UsageError for the copy of a study.
    """
    refuse_copy(study)
    ledger = Ledger(study)
    if not any(submission.array for submission in ledger.handed_over.values()):
        return Advanced()
    step = _Step(root, study, ledger)
    try:
        step.take()
    finally:
        step.events.close()
    return step.done


class _Step:
    """One call of `advance`."""

    def __init__(self, root: Root, study: StudyFolder, ledger: Ledger) -> None:
        self.study, self.ledger = study, ledger
        header = ledger.plans.header
        assert header is not None
        self.settings, self.folder = header.settings, Path(header.folder)
        self.policies = Policies.parse(self.settings["failures"])
        self.standings = Standings(root, ledger, self.policies)
        self.events = EventWriter(study.events)
        self.done = Advanced()
        self._backends: dict[str, Backend] = {}

    def take(self) -> None:
        """All four steps."""
        arrays = self._arrays()
        self._tell_left_behind()
        for submissions in _by_executor([one for one in arrays if was_tried(one)]).values():
            self.done.answer = {**self.done.answer, **self._backend(submissions[0]).ask(submissions)}
        self.standings.refresh()
        for submission in arrays:
            self._find_number(submission)
            self._close_ended(submission)
            self._send_keeper(submission)
        self.standings.refresh()
        self._renew()
        self.standings.refresh()
        self._send()

    def _arrays(self) -> list[Submission]:
        """The live arrays of this root: of tasks that look for another place nothing is concluded."""
        return [one for one in self.ledger.live if one.array and left_behind(one) is None]

    def _tell_left_behind(self) -> None:
        study, gone = self.study.name, [one for one in self.ledger.live if one.array and left_behind(one)]
        if gone:
            place, tasks = Path(left_behind(gone[0]) or "").parents[2], counted(sum(map(_open_tasks, gone)), "task")
            self.done.problems.append(
                f"{tasks} queued when the root was {place} will not find it here, and nothing is concluded about them;"
                " move it back, or take them out of the queue, then"
                f" seedfold cancel {study} and seedfold resume {study}"
            )

    def _backend(self, submission: Submission) -> Backend:
        """The scheduler with the settings that the submission was planned with, which may differ from others'."""
        settings = submission.settings["cluster"]
        key = canonical_json(settings)
        if key not in self._backends:
            backend = backend_of(Cluster.parse(settings))
            assert backend is not None
            self._backends[key] = backend
        return self._backends[key]

    # --- what was sent -----------------------------------------------------------------------------------------------

    def _find_number(self, submission: Submission) -> None:
        """Note the number of an array whose launcher did not live to hear it, or heard a time-out."""
        if submission.scheduler_id() is None:
            states = self.done.answer.get(submission.token) or {}
            numbers = sorted({state.id for state in states.values()}, key=int)
            if numbers:
                note_number(submission, numbers[0])

    def _close_ended(self, submission: Submission) -> None:
        """Judge the tasks that the scheduler says have ended, or no longer knows, and that never said so."""
        if submission.scheduler_id() is None:
            return
        states, marks = self.done.answer.get(submission.token) or {}, submission.tasks.marks()
        for index in range(submission.task_count):
            mark = marks.get(index, TaskMark())
            if mark.over:
                continue
            state = states.get(index) or self._vanished(submission, index, mark)
            if state is not None and state.phase == "ended":
                self._close(submission, index, mark, state)
            self.done.put_off = self.done.put_off or (state is not None and state.phase == "ending")

    def _vanished(self, submission: Submission, index: int, mark: TaskMark) -> TaskState | None:
        """How a task ended of which the scheduler says nothing; None as long as nobody can be sure that it has.

        A scheduler that has lost its memory, or is not itself, says nothing of tasks that are at work.
        """
        if time.time() - sent_at(submission) < _settle_s(submission):
            self.done.put_off = True
            return None
        if mark.started >= 0 and _worker_lives(submission, index):
            return None
        return TaskState("", "ended", "", _VANISHED, "node")

    def _close(self, submission: Submission, index: int, mark: TaskMark, state: TaskState) -> None:
        jobs = submission.jobs_of(index)
        begun = [job for job in jobs if self._is_begun(job)]
        if state.kind == "cancelled":
            self._tell_cancelled(jobs, state.reason)
        elif begun:
            for job in begun:
                self._tell_end(job, state)
        elif state.kind is not None and state.word:
            # Jobs that never began would otherwise be handed over again for ever.
            name = self._backend(submission).log_name(submission.scheduler_id(), index)
            log = f"submissions/{submission.token}/{name}"
            for job in jobs:
                self._tell_left(job, log, state, sent_at(submission))
        submission.tasks.end(index, max(mark.started, 0), by="scheduler", word=state.word, reason=state.reason)
        self.done.closed += 1

    def _is_begun(self, job: str) -> bool:
        end = self.ledger.record(job).end
        return end is not None and end["e"] == "started" and not is_published(self.study, job, end["n"])

    def _tell_cancelled(self, jobs: Iterable[str], reason: str) -> None:
        left = {job: self.ledger.record(job).latest for job in jobs if self.standings.of(job).state not in _FINAL}
        if left:
            self.events.tell("cancelled", jobs=left, reason=reason)

    def _tell_end(self, job: str, state: TaskState) -> None:
        event = self.ledger.record(job).end
        assert event is not None
        kind = "node" if state.kind in {None, "cancelled"} else state.kind
        assert kind is not None
        assert kind != "cancelled"
        fit = self.ledger.plans.jobs[job].fit
        if kind in _CONTINUING and progressed(self.study, fit, event["t"]):
            self.events.tell("interrupted", job=job, n=event["n"], reason=state.reason)
        else:
            failure = Failure(kind, state.reason, state.word or "vanished")
            self.events.tell("failed", job=job, n=event["n"], peak=0, node=state.node, **failure.to_dict())

    def _tell_left(self, job: str, log: str, state: TaskState, since: float) -> None:
        """Record the failure of a job that was not at work when its task ended: it never began, or was stopped."""
        if self.standings.of(job).state in _FINAL:
            return
        assert state.kind is not None
        assert state.kind != "cancelled"
        record = self.ledger.record(job)
        stopped = record.end is not None and record.end["e"] == "interrupted" and record.end["t"] > since
        if stopped and state.kind in _CONTINUING and self._has_progressed(job, record):
            return
        reason = state.reason if stopped else f"{state.reason} before the job began"
        failure = Failure(state.kind, reason, f"before-{state.word}")
        details = {"peak": 0, "node": state.node, "log": log, **failure.to_dict()}
        self.events.tell("failed", job=job, n=record.latest + 1, **details)

    def _has_progressed(self, job: str, record: Record) -> bool:
        started = record.started.get(record.latest)
        return started is not None and progressed(self.study, self.ledger.plans.jobs[job].fit, started["t"])

    # --- what is to be tried again -----------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Hand over again what was handed over, is not done, and may still become so by itself."""
        chosen: dict[str, JobDescription] = {}
        current = self.ledger.plans.current.values()
        fits = {job.fit for job in current if self.standings.of(job.id).state == "running"}
        for job in current:
            # What another job trains at this moment is handed over when that one is through.
            if job.id in chosen or job.fit in fits:
                continue
            if self._is_to_renew(job) and self._parents_come(job, chosen):
                chosen[job.id] = job
        groups: dict[tuple[str, ...], list[JobDescription]] = defaultdict(list)
        for job in chosen.values():
            asked, avoided = self._asked_next(job)
            groups[avoided].append(replace(job, resources=asked))
        for avoided, jobs in groups.items():
            self.done.renewed += sum(one.task_count for one in self._hand_over(jobs, avoided))

    def _is_to_renew(self, job: JobDescription) -> bool:
        last = self.ledger.handed_over.get(job.id)
        if last is None or last.array is None:
            return False
        standing = self.standings.of(job.id)
        if standing.state == "failed":
            return not self.policies.exhausted(self.ledger.record(job.id).failures())
        if standing.state not in {"waiting", "lost"} or last.is_void():
            return False
        if standing.event is not None and standing.event["e"] == "done":
            # A result that went missing since is for a person to see, and to ask for again.
            return False
        words = last.tasks.last_words(last.jobs.index(job.id) // last.array.per_task)
        return not words.get("closed")

    def _parents_come(self, job: JobDescription, chosen: Mapping[str, JobDescription]) -> bool:
        states = ((parent, self.standings.of(parent).state) for parent in job.parents)
        return all(parent in chosen or state == "done" or state in ALIVE for parent, state in states)

    def _asked_next(self, job: JobDescription) -> tuple[Resources, tuple[str, ...]]:
        """What a job asks for after its failures, and the nodes that it stays away from."""
        memory, limit, nodes = float(job.resources.memory_bytes), float(job.resources.time_s), set[str]()
        for failure in self.ledger.record(job.id).failures():
            policy = self.policies.of(failure["kind"])
            memory, limit = memory * policy.memory, limit * policy.time
            if policy.other_node and failure.get("node"):
                nodes.add(failure["node"])
        asked = replace(job.resources, memory_bytes=round(memory), time_s=round(limit))
        return asked, tuple(sorted(nodes))

    def _hand_over(self, jobs: Sequence[JobDescription], avoided: tuple[str, ...]) -> list[Submission]:
        """Write intents under tokens that follow from what is asked: of two who try, one succeeds."""
        cluster = Cluster.parse(self.settings["cluster"])
        if cluster.batch is None:
            return []
        return make_intents(self.study, self.ledger, jobs, self.settings, self.folder, avoided=avoided, renewed=True)

    # --- what was not sent yet ---------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send intents in their order, as far as the limit of what may be queued allows."""
        arrays = self._arrays()
        queued = sum(_open_tasks(one) + 1 for one in arrays if not self._is_to_send(one))
        full = False
        for submission in [one for one in arrays if self._is_to_send(one)]:
            limit = _limit(submission)
            full = full or (limit is not None and queued + submission.task_count + 1 > limit)
            if not full and self._send_one(submission):
                queued += submission.task_count + 1
            elif not submission.is_void():
                self.done.held += submission.task_count
                full = full or self._queue_is_full(submission)
        if self.done.held and not queued:
            self._look_again_later([one for one in arrays if self._is_to_send(one)])

    def _queue_is_full(self, submission: Submission) -> bool:
        trial = last_trial(submission)
        return trial is not None and trial.refused

    def _look_again_later(self, held: Sequence[Submission]) -> None:
        """Nothing of this study is queued, so no keeper will come: strangers fill the queue up to its limit."""
        for submission in held[:1]:
            if create_once(submission.folder / f"later.{int(time.time() / _LATER_S)}", ""):
                self._queue_keeper(submission, None)

    def _is_to_send(self, submission: Submission) -> bool:
        """Whether a submission was never sent, or refused, or is one that nobody has heard of since."""
        if submission.scheduler_id() is not None or submission.is_void():
            return False
        trial = last_trial(submission)
        if trial is None or trial.refused:
            return True
        silent = time.time() - trial.time > _settle_s(submission) and not submission.tasks.marks()
        self.done.put_off = self.done.put_off or not silent
        return silent and not trial.is_under_way()

    def _send_one(self, submission: Submission) -> bool:
        after = self._dependencies(submission)
        if after is None:
            return False
        trial = begin_trial(submission)
        if trial is None:
            return False
        try:
            number = self._submit(submission, trial, after)
        except RefusedError as error:
            self._hear_refusal(submission, trial, error)
            return False
        except UnreachableError as error:
            self.done.problems.append(str(error))
            self.done.put_off = True
            return False
        note_number(submission, number)
        self.done.sent += submission.task_count
        self._send_keeper(submission)
        return True

    def _submit(self, submission: Submission, trial: int, after: Sequence[str]) -> str:
        """Raises what `Backend.submit` raises."""
        try:
            return self._backend(submission).submit(submission, after)
        except RefusedError:
            raise
        except BaseException:
            note_unheard(submission, trial)
            raise

    def _hear_refusal(self, submission: Submission, trial: int, error: RefusedError) -> None:
        """Try again later if the queue is full; else the jobs have failed, so that a person sees why."""
        refuse(submission, trial, error)
        if error.full:
            text = f"the queue is full: {error}"
            if _limit(submission) is None:
                study = self.study.name
                text += f"; if it never takes {submission.task_count} tasks at a time: seedfold cancel {study}, then"
                text += f" seedfold resume {study} cluster.max_submitted=NUMBER"
            self.done.problems.append(text)
            return
        self.done.problems.append(f"{submission.token} was refused: {error}")
        failure = Failure("config", f"the scheduler refused it: {error}", "refused")
        for job in submission.jobs:
            number = self.ledger.record(job).latest + 1
            self.events.tell("failed", job=job, n=number, peak=0, **failure.to_dict())

    def _send_keeper(self, submission: Submission) -> None:
        """Queue a keeper behind an array, unless somebody has; whoever sent the array may have died before."""
        number = submission.scheduler_id()
        if number is not None and create_once(submission.folder / "kept", number):
            self._queue_keeper(submission, number)

    def _queue_keeper(self, submission: Submission, number: str | None) -> None:
        batch = Cluster.parse(submission.settings["cluster"]).batch
        if batch is None or not batch.keeper:
            return
        try:
            self._backend(submission).submit_keeper(submission, number)
        except (RefusedError, UnreachableError) as error:
            (submission.folder / "kept").unlink(missing_ok=True)
            self.done.problems.append(f"no keeper was queued: {error}")
            self.done.put_off = True

    def _dependencies(self, submission: Submission) -> list[str] | None:
        """The numbers of the arrays that have to end before; None while one of them has none."""
        assert submission.array is not None
        live = {one.token: one for one in self.ledger.live}
        numbers = []
        for token in submission.array.after:
            if token in live:
                number = live[token].scheduler_id()
                if number is None:
                    return None
                numbers.append(number)
        return numbers


_FINAL = {"done", "failed", "cancelled"}
_CONTINUING = {"timeout", "preempted", "node"}
"""Kinds that are no failure of a job that came further meanwhile."""


def drop_cancelled(ledger: Ledger) -> None:
    """Have the scheduler drop tasks that have not begun and hold nothing but cancelled jobs."""
    for submission in ledger.live:
        number, marks = submission.scheduler_id(), submission.tasks.marks()
        if submission.array is None:
            continue
        dropped = [
            index
            for index in range(submission.task_count)
            if index not in marks and ledger.cancelled.issuperset(submission.jobs_of(index))
        ]
        if left_behind(submission) is not None:
            _give_up(submission, ledger)
            continue
        backend = backend_of(Cluster.parse(submission.settings["cluster"]))
        if number is not None and backend is not None:
            backend.cancel(submission, dropped)
        trial = last_trial(submission)
        for index in dropped if number is not None or trial is None or trial.refused else ():
            submission.tasks.end(index, 0, by="cancel")


def _give_up(submission: Submission, ledger: Ledger) -> None:
    """Forget the tasks of cancelled jobs in a queue that knows another root: they are not for this one to cancel."""
    marks = submission.tasks.marks()
    for index in range(submission.task_count):
        if ledger.cancelled.issuperset(submission.jobs_of(index)):
            submission.tasks.end(index, max(marks.get(index, TaskMark()).started, 0), by="cancel")


# --- one submission ---------------------------------------------------------------------------------------------------


def _worker_lives(submission: Submission, index: int) -> bool:
    """Whether the worker of a task is at work; where that cannot be seen, its last sign of life tells."""
    worker, beaten = submission.tasks.worker(index), submission.tasks.beaten(index)
    if worker is None or beaten is None:
        return False
    known = worker.liveness()
    return known == "alive" or (known == "unknown" and time.time() - beaten < submission.silent_s)


def _open_tasks(submission: Submission) -> int:
    return submission.task_count - sum(mark.over for mark in submission.tasks.marks().values())


def _settle_s(submission: Submission) -> int:
    batch = Cluster.parse(submission.settings["cluster"]).batch
    return 0 if batch is None else batch.settle_s


def _limit(submission: Submission) -> int | None:
    batch = Cluster.parse(submission.settings["cluster"]).batch
    return None if batch is None else batch.max_submitted


def _by_executor(submissions: Iterable[Submission]) -> dict[str, list[Submission]]:
    found: dict[str, list[Submission]] = {}
    for submission in submissions:
        found.setdefault(Cluster.parse(submission.settings["cluster"]).executor, []).append(submission)
    return found
