"""The states of tasks, from LSF's list of jobs, and in unclear cases from the history of each job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.task_records import TaskRecord
from seedfold.orchestrator.schedulers.backend import Phase, TaskState
from seedfold.orchestrator.schedulers.lsf import exit_reasons, queries
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import BjobsRow, parse_expected_starts, parse_pending_reasons
from seedfold.orchestrator.schedulers.lsf.task_request import short_job_name
from seedfold.orchestrator.schedulers.task_request import array_name, memory_mib

_MAX_SINGLE_QUERIES = 50
_ENDED_IN_ORDER = "its task ended"
_PENDING_PHASES: Mapping[str, Phase] = {"PEND": "pending", "PSUSP": "pending", "WAIT": "pending", "PROV": "pending"}
_HELD_REASON = "held by a person"
_UNKNOWN_REASON = "is queued"
_REQUEUED_REASON = "requeued, and starts again in a moment"
_PENDING_REASONS = {
    "new job is waiting for scheduling": "LSF has not looked at it yet",
    "job dependency condition not satisfied": "waits for jobs before it",
    "dependency condition invalid": "can never run: LSF does not know a job that it depends on",
    "dependency condition invalid or never satisfied": "can never run: a job that it depends on failed",
    "job array has reached its running element limit": "waits because of cluster.throttle or seedfold throttle",
    "queue has reached its job slot limit": "the queue runs no more jobs",
    "user has reached his/her job slot limit": "you have reached your limit of running jobs",
    "user has reached his/her job slot limit of the queue": "you have reached the queue's limit of running jobs",
    "user has reached the per-user job slot limit of the queue": "you have reached the queue's limit of running jobs",
    "job slot limit reached": "the limit of running jobs is reached",
    "specified job group has reached its job limit": "the job group runs no more jobs",
    "job's requirements for resource reservation not satisfied": "waits for free resources",
    "job's resource requirements not satisfied": "waits for a host with the requested resources",
    "not enough job slot": "waits for free slots",
    "not enough processors to meet the job's spanning requirement": "waits for free slots on one host",
    "not enough slots or resources for whole duration of the job": "waits for free resources",
    "just started a job recently": "waits a moment, because its host has just received another job",
    "queue is inactivated by its administrator": "the queue is closed",
    "queue is inactivated by the administrator": "the queue is closed",
    "queue is inactivated by its time windows": "the queue is closed at this time of the day",
    "waiting for re-scheduling after being requeued": _REQUEUED_REASON,
    "requeued job is waiting for rescheduling": _REQUEUED_REASON,
    "requeue the job for the next run": _REQUEUED_REASON,
    "job's specified start time has not been reached": "its start time has not come yet",
    "job has a specified start time": "its start time has not come yet",
    "job was suspended by the user while pending": _HELD_REASON,
    "job was suspended by the user": _HELD_REASON,
    "job was suspended by lsf admin or root while pending": "held by an administrator",
}
"""By LSF's text, without a leading article and without the parts in brackets."""
_REMARK = re.compile(r"\s*\([^)]*\)|^the ")


def find_task_states(
    submissions: Iterable[Submission], dialect: str, timeout_s: float
) -> dict[str, dict[int, TaskState]]:
    """Return the state of each task, by token and index. Raises UnreachableError if LSF does not reply."""
    submission_list = list(submissions)
    rows = list(_list_rows(submission_list, dialect, timeout_s))
    arrays = [_ListedArray(one, rows) for one in submission_list]
    reports = _read_exit_reports(arrays, timeout_s)
    reasons = _read_pending_reasons(arrays, timeout_s)
    starts = _read_expected_starts(arrays, dialect, timeout_s)
    return {view.submission.token: view.task_states(reports, reasons, starts) for view in arrays}


def _list_rows(submissions: Sequence[Submission], dialect: str, timeout_s: float) -> Iterator[BjobsRow]:
    """The jobs with the known numbers, or all jobs if a reply of `bsub` was lost."""
    array_ids = [number for number in (one.scheduler_id() for one in submissions) if number is not None]
    yield from queries.list_jobs(array_ids, dialect, timeout_s)
    if len(array_ids) < len(submissions):
        yield from queries.list_all_jobs(dialect, timeout_s)


class _ListedArray:
    """The listed jobs of one submission. If it was sent twice, only one of the two arrays counts."""

    def __init__(self, submission: Submission, rows: Iterable[BjobsRow]) -> None:
        job_name, number = short_job_name(array_name(submission)), submission.scheduler_id()
        # Another job may have this number by now.
        rows_of_name = [row for row in rows if row.index and row.has_name(job_name, number)]
        self.submission, self.name = submission, job_name
        self.array_id = number or min((row.id for row in rows_of_name), key=int, default=None)
        self.rows = {row.index - 1: row for row in rows_of_name if row.id == self.array_id}
        self.is_foreign = not self.rows and any(row.id == self.array_id for row in rows)
        self.marks = submission.tasks.records()

    def unclear_tasks(self) -> list[int]:
        """Tasks that ended according to LSF without recording it themselves, or that LSF no longer lists."""
        if self.array_id is None or self.is_foreign:
            return []
        open_tasks = (index for index in range(self.submission.task_count) if not self._mark_of(index).is_over)
        return [index for index in open_tasks if index not in self.rows or self.rows[index].state == "EXIT"]

    def has_pending(self) -> bool:
        """Whether any task is pending."""
        return any(row.is_pending for row in self.rows.values())

    def task_states(
        self,
        reports: Mapping[tuple[str, int], exit_reasons.ExitReport],
        reasons: Mapping[tuple[str, int], str],
        starts: Mapping[tuple[str, int], str],
    ) -> dict[int, TaskState]:
        """The states of its tasks; LSF knows nothing of those that are missing."""
        if self.array_id is None:
            return {}
        states = {index: self._state_from_row(index, row, reports, reasons, starts) for index, row in self.rows.items()}
        for index in self.unclear_tasks():
            report = reports.get((self.array_id, index + 1))
            if index in states or report is None or not report.may_be_named(self.name):
                continue
            if report.final_state:
                states[index] = self._ended_task_state(index, report.final_state, report)
        return states

    def _state_from_row(
        self,
        index: int,
        row: BjobsRow,
        reports: Mapping[tuple[str, int], exit_reasons.ExitReport],
        reasons: Mapping[tuple[str, int], str],
        starts: Mapping[tuple[str, int], str],
    ) -> TaskState:
        key = (row.id, row.index)
        lsf_state = row.state
        if lsf_state == "EXIT" and key in reports and reports[key].state not in {"", "EXIT", "DONE"}:
            # The task was being requeued.
            lsf_state = reports[key].state
        if lsf_state in {"DONE", "EXIT"}:
            return self._ended_task_state(index, lsf_state, reports.get(key, exit_reasons.ExitReport()), row)
        phase = _PENDING_PHASES.get(lsf_state, "running")
        reason = (
            reasons.get(key, _HELD_REASON if lsf_state == "PSUSP" else _UNKNOWN_REASON) if phase == "pending" else ""
        )
        expected = starts.get(key, "") if phase == "pending" else ""
        return TaskState(row.id, phase, lsf_state, reason, node=row.host, expected_start=expected)

    def _ended_task_state(
        self, index: int, lsf_state: str, report: exit_reasons.ExitReport, row: BjobsRow | None = None
    ) -> TaskState:
        assert self.array_id is not None
        assert self.submission.array is not None
        host, listed = (row.host, row.exit_text) if row else (report.host, "")
        if lsf_state == "DONE":
            return TaskState(self.array_id, "ended", lsf_state, _ENDED_IN_ORDER, node=host)
        has_started, requested_mb = self._mark_of(index).last_start >= 0, memory_mib(self.submission.array)
        return exit_reasons.ended_task_state(
            self.array_id, report, requested_mb, has_started=has_started, host=host, listed_exit_text=listed
        )

    def _mark_of(self, index: int) -> TaskRecord:
        return self.marks.get(index, TaskRecord())


def _read_exit_reports(
    arrays: Iterable[_ListedArray], timeout_s: float
) -> dict[tuple[str, int], exit_reasons.ExitReport]:
    unclear_tasks = [(view.array_id, view.unclear_tasks()) for view in arrays if view.array_id is not None]
    job_ids: list[str] = []
    for number, indices in unclear_tasks:
        element_ids = [_element_id(number, index) for index in indices]
        job_ids += element_ids if len(element_ids) <= _MAX_SINGLE_QUERIES else [number]
    reports = (
        exit_reasons.parse_exit_reports(*queries.read_details_and_histories(job_ids, timeout_s)) if job_ids else {}
    )
    merged_tasks = [
        (number, index)
        for number, indices in unclear_tasks
        for index in indices
        if (number, 0) in reports and (number, index + 1) not in reports
    ]
    return reports | dict(_read_single_exit_reports(merged_tasks[:_MAX_SINGLE_QUERIES], timeout_s))


def _read_single_exit_reports(
    tasks: Iterable[tuple[str, int]], timeout_s: float
) -> Iterator[tuple[tuple[str, int], exit_reasons.ExitReport]]:
    """Query one element at a time: some servers report several elements together, without telling them apart."""
    for number, index in tasks:
        reports = exit_reasons.parse_exit_reports(queries.read_history(_element_id(number, index), timeout_s))
        if (number, 0) not in reports:
            return
        yield (number, index + 1), reports[number, 0]


def _element_id(array_id: str, index: int) -> str:
    return f"{array_id}[{index + 1}]"


def _read_pending_reasons(arrays: Iterable[_ListedArray], timeout_s: float) -> dict[tuple[str, int], str]:
    array_ids = [view.array_id for view in arrays if view.array_id is not None and view.has_pending()]
    if not array_ids:
        return {}
    reasons = parse_pending_reasons(queries.read_pending_reasons(array_ids, timeout_s))
    return {key: readable_reason(reason) for key, reason in reasons.items()}


def _read_expected_starts(arrays: Iterable[_ListedArray], dialect: str, timeout_s: float) -> dict[tuple[str, int], str]:
    """When LSF expects pending tasks to start, where its site has it simulate that."""
    array_ids = [view.array_id for view in arrays if view.array_id is not None and view.has_pending()]
    if not array_ids:
        return {}
    listed = queries.read_expected_starts(array_ids, dialect, timeout_s)
    return parse_expected_starts(listed, queries.EXPECTED_START, datetime.now())


def readable_reason(lsf_reason: str) -> str:
    """Why a job waits; LSF's own words if there is no text for them here."""
    key = _REMARK.sub("", lsf_reason.lower()).rstrip(".; ").partition(":")[0]
    return _PENDING_REASONS.get(key, lsf_reason.rstrip(".; "))
