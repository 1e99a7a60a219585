"""How jobs of LSF ended: from what `bjobs -l` and `bhist -l` say, as kinds of failure with a reason in words.

Both break their lines anywhere, within words as well, so that they are read without any blanks.
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
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import first_host
from seedfold.orchestrator.settings.failures import Kind

_MEMORY = "its task used more memory than it had asked for"
_TIME_LIMIT = "its task reached the time limit"
_KILLED = "ended in LSF by a person"
_TERMS: Mapping[str, tuple[Kind | Literal["cancelled"], str]] = {
    "MEMLIMIT": ("oom_host", _MEMORY),
    "SWAP": ("oom_host", "its task used more memory and swap than it had asked for"),
    "RUNLIMIT": ("timeout", _TIME_LIMIT),
    "CPULIMIT": ("timeout", "its task reached the limit of its CPU time"),
    "DEADLINE": ("timeout", "its task reached its deadline"),
    "WINDOW": ("preempted", "the queue's run window closed"),
    "PREEMPT": ("preempted", "its task was preempted"),
    "LOAD": ("preempted", "its host was too busy"),
    "RC_RECLAIM": ("preempted", "its host was reclaimed"),
    "BUCKET_KILL": ("preempted", "LSF ended it together with others"),
    "OWNER": ("cancelled", "cancelled in LSF by its owner"),
    "FORCE_OWNER": ("cancelled", "cancelled in LSF by its owner"),
    "ADMIN": ("cancelled", "cancelled in LSF by an administrator"),
    "FORCE_ADMIN": ("cancelled", "cancelled in LSF by an administrator"),
    "PROCESSLIMIT": ("error", "its task had more processes than allowed"),
    "THREADLIMIT": ("error", "its task had more threads than allowed"),
    "CWD_NOTEXIST": ("node", "the host did not have the folder that it was submitted from"),
    "PRE_EXEC_FAIL": ("node", "the host's own preparation failed"),
}
_OWN_WARNING = int(signal.SIGUSR2)
_BLANKS = re.compile(r"\s+")
_SECTION = re.compile(r"^[ \t]*Job (?:Id )?<(\d+)(?:\[(\d+)\])?>", re.MULTILINE)
_STATUS = re.compile(r"Status<(\w+)>")
_BEGUN = re.compile(r"[Ss]tartedon|[Dd]ispatchedto|(?:[Ss]tarted|[Dd]ispatched)\d+Task|\[\d+\]started|Starting\(Pid")
_ON = re.compile(r"(?:[Ss]tarted|[Dd]ispatched)[^<;]{0,60}?<([^>]+)>")
_CODE = re.compile(r"[Ee]xit(?:ed)?(?:with)?(?:exit)?code:?(\d+)")
_SIGNAL = re.compile(r"[Ee]xitedbysignal(\d+)")
_WELL = re.compile(r"Donesuccessfully")
_EXITED = re.compile(r"Exited|Completed<exit>")
_TERM = re.compile(r"TERM_([A-Z_]+)")
_ORDERED = re.compile(r"Signal<(?:SIG)?(?:KILL|TERM|INT)>requestedby")
_LOST_HOST = re.compile(r"CPUtime(?:used)?(?:is)?unknown|unabletoreach|unknown;|hostisdown", re.IGNORECASE)
_USED = re.compile(r"(?:MAXMEM|MEM):([\d.]+)([KMGT])b(?:ytes)?", re.IGNORECASE)
_WHEN = re.compile(r"([A-Z][a-z]{2})(\d{1,2})(\d{2}):(\d{2}):(\d{2})(?:\d{4})?:(?:Exited|Completed<exit>)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_FRESH_S = 5.0
"""For so long an end may be that of a job which is about to be queued again."""


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that was said of one job, without blanks, by each command that spoke of it."""

    texts: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The state, where one was named."""
        found = [word for text in self.texts for word in _STATUS.findall(text)]
        return found[-1] if found else ""

    @property
    def last_run(self) -> str:
        """What was said since the last start; all of it where there was none."""
        return "".join(_since_last_start(text) for text in self.texts)

    @property
    def begun(self) -> bool:
        """Whether it ever started."""
        return any(_BEGUN.search(text) for text in self.texts)

    @property
    def word(self) -> str:
        """``DONE`` or ``EXIT`` where an end is told of its last run; else an empty text."""
        if _WELL.search(self.last_run):
            return "DONE"
        return "EXIT" if any(one.search(self.last_run) for one in (_EXITED, _SIGNAL, _CODE)) else ""

    def is_called(self, name: str) -> bool:
        """Whether nobody says that it has another name."""
        return all(f"JobName<{name}" in text for text in self.texts if "JobName<" in text)

    @property
    def host(self) -> str:
        """Where it ran last."""
        found = [host for text in self.texts for host in _ON.findall(text)]
        return first_host(found[-1]) if found else ""

    def is_fresh(self, now: float) -> bool:
        """Whether its end was told of less than a few seconds ago."""
        return any(abs(now - end) < _FRESH_S for end in map(_seconds, _WHEN.findall(self.last_run)) if end)


def _since_last_start(text: str) -> str:
    starts = [match.start() for match in _BEGUN.finditer(text)]
    return text[starts[-1] :] if starts else text


def _seconds(told: Sequence[str]) -> float | None:
    """A time of day, which has no year, in seconds since the epoch."""
    today = datetime.now()
    day, hour, minute, second = map(int, told[1:])
    try:
        end = datetime(today.year, _MONTHS.index(told[0]) + 1, day, hour, minute, second)
    except ValueError:
        return None
    return (end if end < today + timedelta(days=180) else end.replace(year=end.year - 1)).timestamp()


def tell_apart(*texts: str) -> dict[tuple[str, int], Told]:
    """Sort what each command said by job and index.

    The index of a job that is no array is 0, and that of what was said of several elements together.
    """
    found: dict[tuple[str, int], list[str]] = {}
    for text in texts:
        for key, section in _sections(text):
            found.setdefault(key, []).append(section)
    return {key: Told(tuple(sections)) for key, sections in found.items()}


def _sections(text: str) -> Iterator[tuple[tuple[str, int], str]]:
    heads = list(_SECTION.finditer(text))
    for head, after in zip_longest(heads, heads[1:]):
        end = after.start() if after else len(text)
        yield (head[1], int(head[2] or 0)), _BLANKS.sub("", text[head.start() : end])


def ended(number: str, told: Told, asked_mb: float, *, begun: bool, host: str = "", listed: str = "") -> TaskState:
    """Say how a task ended for which LSF says EXIT.

    ``begun`` tells that a worker has sat in it, ``host`` where it ran by the list and ``listed`` what that said of its
    end, ``asked_mb`` the memory that it had. A task whose end is so fresh that it may start again is ``ending``.
    """
    said = told.last_run + _BLANKS.sub("", listed)
    host = host or told.host
    kind, reason, sure = _judge(said, begun or bool(host) or told.begun or not told.texts, asked_mb)
    phase: Phase = "ended" if sure or not told.is_fresh(time.time()) else "ending"
    return TaskState(number, phase, "EXIT", reason, kind, node=host)


def _judge(said: str, begun: bool, asked_mb: float) -> tuple[Kind | Literal["cancelled"], str, bool]:
    """The kind, the reason, and whether nothing else can be meant."""
    for term in _TERM.findall(said):
        if term in _TERMS:
            return *_TERMS[term], True
    if not begun:
        return "cancelled", "cancelled in LSF before it began", True
    if _ORDERED.search(said):
        return "cancelled", _KILLED, True
    return *_by_code(said, asked_mb), False


def _by_code(said: str, asked_mb: float) -> tuple[Kind | Literal["cancelled"], str]:
    number = _signal_of(said)
    if number == signal.SIGKILL and asked_mb and _used_mb(said) >= 0.95 * asked_mb:
        return "oom_host", f"{_MEMORY}: {_used_mb(said) / 1024:.1f} GB"
    if number == _OWN_WARNING:
        return "timeout", _TIME_LIMIT
    if number == signal.SIGINT:
        # Nothing but `bkill` begins with an interrupt.
        return "cancelled", _KILLED
    if number == signal.SIGTERM:
        return "preempted", "its task was ended from outside"
    if number:
        return "error", f"the worker of its task was killed by signal {number}"
    codes = _CODE.findall(said)
    if codes:
        return "error", f"the worker of its task exited with code {codes[-1]}"
    if _LOST_HOST.search(said):
        return "node", "the host of its task failed"
    return "error", "its task failed"


def _signal_of(said: str) -> int:
    """The signal that ended it, told as such or as an exit code; 0 for none."""
    signals, codes = _SIGNAL.findall(said), _CODE.findall(said)
    if signals:
        return int(signals[-1])
    return max(0, int(codes[-1]) - 128) if codes and int(codes[-1]) < 128 + signal.NSIG else 0


def _used_mb(said: str) -> float:
    """The most memory that it was seen to use."""
    return max((float(amount) * _MIB[unit.upper()] for amount, unit in _USED.findall(said)), default=0.0)
