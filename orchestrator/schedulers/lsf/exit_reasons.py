"""Exit reasons of LSF jobs, from the output of `bjobs -l` and `bhist -l`: a failure kind, and the reason in words.

Both commands break lines anywhere, even within words, so that their output is read without any blanks.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Literal

from seedfold.orchestrator.schedulers.backend import Phase, TaskState
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import parse_first_host
from seedfold.orchestrator.settings.failures import FailureKind

_MEMORY = "its task used more memory than it had asked for"
_TIME_LIMIT = "its task reached the time limit"
_KILLED_BY_PERSON = "ended in LSF by a person"
_TERM_REASONS: Mapping[str, tuple[FailureKind | Literal["cancelled"], str]] = {
    "MEMLIMIT": ("oom_host", _MEMORY),
    "SWAP": ("oom_host", "its task used more memory and swap than it had asked for"),
    "RUNLIMIT": ("timeout", _TIME_LIMIT),
    "CPULIMIT": ("timeout", "its task reached the limit of its CPU time"),
    "DEADLINE": ("timeout", "its task reached its deadline"),
    "WINDOW": ("preempted", "the queue's run window closed"),
    "PREEMPT": ("preempted", "its task was preempted"),
    "LOAD": ("preempted", "its host was too busy"),
    "RC_RECLAIM": ("preempted", "its host was reclaimed"),
    "BUCKET_KILL": ("preempted", "LSF ended it together with other jobs"),
    "OWNER": ("cancelled", "cancelled in LSF by its owner"),
    "FORCE_OWNER": ("cancelled", "cancelled in LSF by its owner"),
    "ADMIN": ("cancelled", "cancelled in LSF by an administrator"),
    "FORCE_ADMIN": ("cancelled", "cancelled in LSF by an administrator"),
    "PROCESSLIMIT": ("error", "its task had more processes than allowed"),
    "THREADLIMIT": ("error", "its task had more threads than allowed"),
    "CWD_NOTEXIST": ("node", "the host did not have the folder from which it was submitted"),
    "PRE_EXEC_FAIL": ("node", "the preparation script of the host failed"),
}
_KILLED = f"the worker of its task was killed by signal {int(signal.SIGKILL)}"
_WARNING_SIGNAL = int(signal.SIGUSR2)
_BLANKS = re.compile(r"\s+")
_SECTION = re.compile(r"^[ \t]*Job (?:Id )?<([0-9]{1,18})(?:\[([0-9]{1,18})\])?>", re.MULTILINE)
_STATUS = re.compile(r"Status<(\w+)>")
_STARTED = re.compile(r"[Ss]tartedon|[Dd]ispatchedto|(?:[Ss]tarted|[Dd]ispatched)\d+Task|\[\d+\]started|Starting\(Pid")
_STARTED_ON_HOST = re.compile(r"(?:[Ss]tarted|[Dd]ispatched)[^<;]{0,60}?<([^>]+)>")
_EXIT_CODE = re.compile(r"[Ee]xit(?:ed)?(?:with)?(?:exit)?code:?([0-9]{1,18})")
_EXIT_SIGNAL = re.compile(r"[Ee]xitedbysignal([0-9]{1,18})")
_DONE = re.compile(r"Donesuccessfully")
_EXITED = re.compile(r"Exited|Completed<exit>")
_TERM = re.compile(r"TERM_([A-Z_]+)")
_KILL_REQUESTED = re.compile(r"Signal<(?:SIG)?(?:KILL|TERM|INT)>requestedby")
_HOST_FAILED = re.compile(r"CPUtime(?:used)?(?:is)?unknown|unabletoreach|unknown;|hostisdown", re.IGNORECASE)
_MEMORY_USED = re.compile(r"(?:MAXMEM|MEM):([0-9]{1,15}(?:\.[0-9]{1,15})?)([KMGT])b(?:ytes)?", re.IGNORECASE)
_EXIT_TIME = re.compile(
    r"([A-Z][a-z]{2})([0-9]{1,2})([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[0-9]{4})?:(?:Exited|Completed<exit>)"
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_REQUEUE_DELAY_S = 5.0
"""Seconds in which an ended job may still be requeued."""


@dataclass(frozen=True, slots=True)
class ExitReport:
    """The texts on one job, without blanks, one from each command that reported it."""

    texts: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The state, if the texts name one."""
        found = [word for text in self.texts for word in _STATUS.findall(text)]
        return found[-1] if found else ""

    @property
    def last_run_text(self) -> str:
        """The part of the texts since the last start; all of it if there was no start."""
        return "".join(_text_since_last_start(text) for text in self.texts)

    @property
    def has_started(self) -> bool:
        """Whether the job ever started."""
        return any(_STARTED.search(text) for text in self.texts)

    @property
    def final_state(self) -> str:
        """``DONE`` or ``EXIT`` if the last run has ended; else an empty text."""
        if _DONE.search(self.last_run_text):
            return "DONE"
        return "EXIT" if any(one.search(self.last_run_text) for one in (_EXITED, _EXIT_SIGNAL, _EXIT_CODE)) else ""

    def may_be_named(self, name: str) -> bool:
        """Whether no text gives the job another name."""
        return all(f"JobName<{name}" in text for text in self.texts if "JobName<" in text)

    @property
    def host(self) -> str:
        """The host of the last run."""
        found = [host for text in self.texts for host in _STARTED_ON_HOST.findall(text)]
        return parse_first_host(found[-1]) if found else ""

    def has_just_ended(self, now: float) -> bool:
        """Whether it ended only a few seconds ago."""
        return any(
            abs(now - end) < _REQUEUE_DELAY_S
            for end in map(_epoch_seconds, _EXIT_TIME.findall(self.last_run_text))
            if end
        )


def _text_since_last_start(text: str) -> str:
    start_positions = [match.start() for match in _STARTED.finditer(text)]
    return text[start_positions[-1] :] if start_positions else text


def _epoch_seconds(date_parts: Sequence[str]) -> float | None:
    """A date and time without a year, in seconds since the epoch."""
    today = datetime.now()
    day, hour, minute, second = map(int, date_parts[1:])
    try:
        end = datetime(today.year, _MONTHS.index(date_parts[0]) + 1, day, hour, minute, second)
    except ValueError:
        return None
    return (end if end < today + timedelta(days=180) else end.replace(year=end.year - 1)).timestamp()


def parse_exit_reports(*texts: str) -> dict[tuple[str, int], ExitReport]:
    """Group the output of each command by job and index.

    The index is 0 for a job that is not an array, and for a text on several elements together.
    """
    sections_of_job: dict[tuple[str, int], list[str]] = {}
    for text in texts:
        for key, section in _split_by_job(text):
            sections_of_job.setdefault(key, []).append(section)
    return {key: ExitReport(tuple(sections)) for key, sections in sections_of_job.items()}


def _split_by_job(text: str) -> Iterator[tuple[tuple[str, int], str]]:
    headings = list(_SECTION.finditer(text))
    for head, after in zip_longest(headings, headings[1:]):
        end = after.start() if after else len(text)
        yield (head[1], int(head[2] or 0)), _BLANKS.sub("", text[head.start() : end])


def ended_task_state(
    array_id: str,
    report: ExitReport,
    requested_mb: float,
    *,
    has_started: bool,
    host: str = "",
    listed_exit_text: str = "",
) -> TaskState:
    """Return how a task ended for which LSF says EXIT.

    ``has_started`` means that a worker ran in it; ``host`` and ``listed_exit_text`` are its host and its exit reason in
    the list of jobs; ``requested_mb`` is the memory that it had asked for. A task that ended so recently that it may be
    requeued is ``ending``.
    """
    report_text = report.last_run_text + _BLANKS.sub("", listed_exit_text)
    host = host or report.host
    kind, reason, is_certain = _exit_reason(
        report_text, has_started or bool(host) or report.has_started or not report.texts, requested_mb
    )
    phase: Phase = "ended" if is_certain or not report.has_just_ended(time.time()) else "ending"
    return TaskState(array_id, phase, "EXIT", reason, kind, node=host, was_killed=reason == _KILLED)


def _exit_reason(
    report_text: str, has_started: bool, requested_mb: float
) -> tuple[FailureKind | Literal["cancelled"], str, bool]:
    """The failure kind, the reason, and whether these are certain."""
    for term in _TERM.findall(report_text):
        if term in _TERM_REASONS:
            return *_TERM_REASONS[term], True
    if not has_started:
        return "cancelled", "cancelled in LSF before it began", True
    if _KILL_REQUESTED.search(report_text):
        return "cancelled", _KILLED_BY_PERSON, True
    return *_exit_reason_by_code(report_text, requested_mb), False


def _exit_reason_by_code(report_text: str, requested_mb: float) -> tuple[FailureKind | Literal["cancelled"], str]:
    signal_number = _exit_signal(report_text)
    if signal_number == signal.SIGKILL and requested_mb and _memory_used_mb(report_text) >= 0.95 * requested_mb:
        return "oom_host", f"{_MEMORY}: {_memory_used_mb(report_text) / 1024:.1f} GB"
    if signal_number == _WARNING_SIGNAL:
        return "timeout", _TIME_LIMIT
    if signal_number == signal.SIGINT:
        # Nothing but `bkill` begins with an interrupt.
        return "cancelled", _KILLED_BY_PERSON
    if signal_number == signal.SIGTERM:
        return "preempted", "its task was killed from outside"
    if signal_number == signal.SIGKILL:
        return "node", _KILLED
    if signal_number:
        return "error", f"the worker of its task was killed by signal {signal_number}"
    codes = _EXIT_CODE.findall(report_text)
    if codes:
        return "error", f"the worker of its task exited with code {codes[-1]}"
    if _HOST_FAILED.search(report_text):
        return "node", "the host of its task failed"
    return "error", "its task failed"


def _exit_signal(report_text: str) -> int:
    """The signal that ended the task, reported as a signal or as an exit code; 0 for none."""
    signals, codes = _EXIT_SIGNAL.findall(report_text), _EXIT_CODE.findall(report_text)
    if signals:
        return int(signals[-1])
    return max(0, int(codes[-1]) - 128) if codes and int(codes[-1]) < 128 + signal.NSIG else 0


def _memory_used_mb(report_text: str) -> float:
    """The largest memory use that was reported, in MB."""
    return max((float(amount) * _MIB[unit.upper()] for amount, unit in _MEMORY_USED.findall(report_text)), default=0.0)
