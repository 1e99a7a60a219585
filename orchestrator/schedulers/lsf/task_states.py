"""How the tasks of submissions are, from what LSF lists, and in doubt from what it remembers of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.tasks import TaskMark
from seedfold.orchestrator.schedulers.backend import Phase, TaskState
from seedfold.orchestrator.schedulers.lsf import exit_reasons as ends
from seedfold.orchestrator.schedulers.lsf import queries
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import Row, read_reasons
from seedfold.orchestrator.schedulers.lsf.task_request import short
from seedfold.orchestrator.schedulers.task_request import memory_mib, name_of

_FEW = 50
_WELL = "its task ended"
_NOT_YET: Mapping[str, Phase] = {"PEND": "pending", "PSUSP": "pending", "WAIT": "pending", "PROV": "pending"}
_HELD = "held by a person"
_UNEXPLAINED = "is queued"
_REQUEUED = "queued again, and held back for a moment"
_REASONS = {
    "new job is waiting for scheduling": "LSF has not looked at it yet",
    "job dependency condition not satisfied": "waits for jobs before it",
    "dependency condition invalid": "can never run: what it depends on is unknown",
    "dependency condition invalid or never satisfied": "can never run: what it depends on did not happen",
    "job array has reached its running element limit": "throttled by cluster.throttle",
    "queue has reached its job slot limit": "the queue runs no more jobs",
    "user has reached his/her job slot limit": "you have as many jobs running as you may",
    "user has reached his/her job slot limit of the queue": "you have as many jobs running as the queue lets you",
    "user has reached the per-user job slot limit of the queue": "you have as many jobs running as the queue lets you",
    "job slot limit reached": "as many jobs run as may",
    "specified job group has reached its job limit": "the job group runs no more jobs",
    "job's requirements for resource reservation not satisfied": "waits for free resources",
    "job's resource requirements not satisfied": "waits for a host that has what it asks for",
    "not enough job slot": "waits for free slots",
    "not enough processors to meet the job's spanning requirement": "waits for free slots on one host",
    "not enough slots or resources for whole duration of the job": "waits for free resources",
    "just started a job recently": "waits a moment: its host has just been given another",
    "queue is inactivated by its administrator": "the queue is closed",
    "queue is inactivated by the administrator": "the queue is closed",
    "queue is inactivated by its time windows": "the queue is closed at this time of the day",
    "waiting for re-scheduling after being requeued": _REQUEUED,
    "requeued job is waiting for rescheduling": _REQUEUED,
    "requeue the job for the next run": _REQUEUED,
    "job's specified start time has not been reached": "is not to start yet",
    "job has a specified start time": "is not to start yet",
    "job was suspended by the user while pending": _HELD,
    "job was suspended by the user": _HELD,
    "job was suspended by lsf admin or root while pending": "held by an administrator",
}
"""By what LSF says, without the article before it and what stands in brackets."""
_ASIDE = re.compile(r"\s*\([^)]*\)|^the ")


def answer(submissions: Iterable[Submission], dialect: str, timeout_s: float) -> dict[str, dict[int, TaskState]]:
    """Say how each task is, by token and index. Raises UnreachableError if LSF does not say it."""
    asked = list(submissions)
    rows = list(_rows(asked, dialect, timeout_s))
    views = [_View(one, rows) for one in asked]
    told = _told(views, timeout_s)
    reasons = _reasons(views, timeout_s)
    return {view.submission.token: view.states(told, reasons) for view in views}


def _rows(submissions: Sequence[Submission], dialect: str, timeout_s: float) -> Iterator[Row]:
    """What is known by its number, and, where an answer of `bsub` was lost, everything there is."""
    numbers = [number for number in (one.scheduler_id() for one in submissions) if number is not None]
    yield from queries.listed(numbers, dialect, timeout_s)
    if len(numbers) < len(submissions):
        yield from queries.everything(dialect, timeout_s)


class _View:
    """What LSF lists of one submission: of the array that counts, since one may have been sent twice."""

    def __init__(self, submission: Submission, rows: Iterable[Row]) -> None:
        name, number = short(name_of(submission)), submission.scheduler_id()
        # A number may have been given to a stranger since.
        own = [row for row in rows if row.index and row.is_called(name, number)]
        self.submission, self.name = submission, name
        self.number = number or min((row.id for row in own), key=int, default=None)
        self.rows = {row.index - 1: row for row in own if row.id == self.number}
        self.foreign = not self.rows and any(row.id == self.number for row in rows)
        self.marks = submission.tasks.marks()

    def unclear(self) -> list[int]:
        """Tasks that ended without saying so themselves, as LSF has it, or that it does not list any more."""
        if self.number is None or self.foreign:
            return []
        open_tasks = (index for index in range(self.submission.task_count) if not self._mark(index).over)
        return [index for index in open_tasks if index not in self.rows or self.rows[index].word == "EXIT"]

    def pending(self) -> bool:
        """Whether any task waits."""
        return any(row.pending for row in self.rows.values())

    def states(
        self, told: Mapping[tuple[str, int], ends.Told], reasons: Mapping[tuple[str, int], str]
    ) -> dict[int, TaskState]:
        """How its tasks are; of those that are missing LSF knows nothing."""
        if self.number is None:
            return {}
        found = {index: self._listed(index, row, told, reasons) for index, row in self.rows.items()}
        for index in self.unclear():
            remembered = told.get((self.number, index + 1))
            if index in found or remembered is None or not remembered.is_called(self.name):
                continue
            if remembered.word:
                found[index] = self._ended(index, remembered.word, remembered)
        return found

    def _listed(
        self,
        index: int,
        row: Row,
        told: Mapping[tuple[str, int], ends.Told],
        reasons: Mapping[tuple[str, int], str],
    ) -> TaskState:
        key = (row.id, row.index)
        word = row.word
        if word == "EXIT" and key in told and told[key].status not in {"", "EXIT", "DONE"}:
            # It was on its way back into the queue.
            word = told[key].status
        if word in {"DONE", "EXIT"}:
            return self._ended(index, word, told.get(key, ends.Told()), row)
        phase = _NOT_YET.get(word, "running")
        reason = reasons.get(key, _HELD if word == "PSUSP" else _UNEXPLAINED) if phase == "pending" else ""
        return TaskState(row.id, phase, word, reason, node=row.host)

    def _ended(self, index: int, word: str, told: ends.Told, row: Row | None = None) -> TaskState:
        assert self.number is not None
        assert self.submission.array is not None
        host, listed = (row.host, row.end) if row else (told.host, "")
        if word == "DONE":
            return TaskState(self.number, "ended", word, _WELL, node=host)
        begun, asked_mb = self._mark(index).started >= 0, memory_mib(self.submission.array)
        return ends.ended(self.number, told, asked_mb, begun=begun, host=host, listed=listed)

    def _mark(self, index: int) -> TaskMark:
        return self.marks.get(index, TaskMark())


def _told(views: Iterable[_View], timeout_s: float) -> dict[tuple[str, int], ends.Told]:
    unclear = [(view.number, view.unclear()) for view in views if view.number is not None]
    asked: list[str] = []
    for number, indices in unclear:
        few = [_element(number, index) for index in indices]
        asked += few if len(few) <= _FEW else [number]
    told = ends.tell_apart(*queries.histories(asked, timeout_s)) if asked else {}
    together = [
        (number, index)
        for number, indices in unclear
        for index in indices
        if (number, 0) in told and (number, index + 1) not in told
    ]
    return told | dict(_told_singly(together[:_FEW], timeout_s))


def _told_singly(tasks: Iterable[tuple[str, int]], timeout_s: float) -> Iterator[tuple[tuple[str, int], ends.Told]]:
    """Ask for one at a time: some servers tell of several elements together, and do not say what is whose."""
    for number, index in tasks:
        found = ends.tell_apart(queries.history(_element(number, index), timeout_s))
        if (number, 0) not in found:
            return
        yield (number, index + 1), found[number, 0]


def _element(number: str, index: int) -> str:
    return f"{number}[{index + 1}]"


def _reasons(views: Iterable[_View], timeout_s: float) -> dict[tuple[str, int], str]:
    numbers = [view.number for view in views if view.number is not None and view.pending()]
    if not numbers:
        return {}
    said = read_reasons(queries.pending_reasons(numbers, timeout_s))
    return {key: in_words(reason) for key, reason in said.items()}


def in_words(said: str) -> str:
    """Why a job waits; LSF's own words where nobody knows better ones."""
    plain = _ASIDE.sub("", said.lower()).rstrip(".; ").partition(":")[0]
    return _REASONS.get(plain, said.rstrip(".; "))
