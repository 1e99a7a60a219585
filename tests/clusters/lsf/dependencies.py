"""What ``bsub -w`` means."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

from clusters.lsf.expressions import Condition, SyntaxFault, compare, parse
from clusters.lsf.jobs import PENDING, Job

Find = Callable[[str], Sequence[Job]]
COUNTED = {
    "numdone": lambda job: job.state == "DONE",
    "numexit": lambda job: job.state == "EXIT" and job.finished,
    "numended": lambda job: job.finished,
    "numrun": lambda job: job.state == "RUN",
    "numstart": lambda job: job.state not in PENDING,
    "numpend": lambda job: job.state == "PEND",
    "numhold": lambda job: job.state == "PSUSP",
}


class NoSuchJob(Exception):
    """A condition names a job that is not, or not any more, known."""


class UnequalArrays(Exception):
    """``[*]`` pairs the elements of two arrays, and they do not match."""


def bind(text: str, find: Find, indices: Sequence[int]) -> Condition[int]:
    """The condition for each index of the dependent array (0 for a job that is none).

    Raises `NoSuchJob`, `UnequalArrays` and `SyntaxFault`.
    """

    def leaf(name: str, arguments: list[str]) -> Condition[int]:
        if not arguments:
            name, arguments = "done", [name]
        target = arguments[0].strip("\"'")
        jobs, each = targets(target, find, indices)
        test = tester(name, [part for part in arguments[1:] if part != ","])
        own = {job.index: [job] for job in jobs} if each else {}
        return lambda index: test(own.get(index, jobs))

    return parse(text, leaf)


def targets(text: str, find: Find, indices: Sequence[int]) -> tuple[Sequence[Job], bool]:
    """The jobs that are meant, and whether each element waits for its own."""
    each = text.endswith("[*]")
    jobs = find(text.removesuffix("[*]"))
    if not jobs:
        raise NoSuchJob(text)
    if each and sorted(job.index for job in jobs) != sorted(indices):
        raise UnequalArrays(text)
    return jobs, each


def tester(name: str, arguments: list[str]) -> Callable[[Sequence[Job]], bool | None]:
    """What a word of the language asks of the jobs that it is about."""
    if name in COUNTED:
        return counter(name, *number(arguments))
    if name == "exit" and arguments:
        sign, code = number(arguments)
        return lambda jobs: every(jobs, lambda job: job.state == "EXIT" and compare(sign, exit_code(job), code or 0))
    if arguments or name not in TESTS:
        raise SyntaxFault(name)
    return TESTS[name]


def counter(name: str, sign: str, wanted: int | None) -> Callable[[Sequence[Job]], bool | None]:
    """Counts; the number ``*`` stands for all."""

    def test(jobs: Sequence[Job]) -> bool | None:
        if compare(sign, sum(map(COUNTED[name], jobs)), len(jobs) if wanted is None else wanted):
            return True
        return False if all(job.finished for job in jobs) else None

    return test


def number(arguments: list[str]) -> tuple[str, int | None]:
    """``>= 3`` or ``3`` or ``*``."""
    *signs, value = arguments or [""]
    if not re.fullmatch(r"\d+|\*", value) or len(signs) > 1:
        raise SyntaxFault(" ".join(arguments))
    return "".join(signs) or "==", None if value == "*" else int(value)


def every(jobs: Sequence[Job], holds: Callable[[Job], bool]) -> bool | None:
    """Whether all have ended so, or may still."""
    ended = [job for job in jobs if job.finished]
    if not all(map(holds, ended)):
        return False
    return True if len(ended) == len(jobs) else None


def started(jobs: Sequence[Job]) -> bool | None:
    if any(job.finished and job.started is None for job in jobs):
        return False
    return True if all(job.state not in PENDING for job in jobs) else None


def exit_code(job: Job) -> int:
    return 128 + job.exit_signal if job.exit_signal else job.exit_code or 0


TESTS: dict[str, Callable[[Sequence[Job]], bool | None]] = {
    "done": lambda jobs: every(jobs, lambda job: job.state == "DONE"),
    "post_done": lambda jobs: every(jobs, lambda job: job.state == "DONE"),
    "exit": lambda jobs: every(jobs, lambda job: job.state == "EXIT"),
    "ended": lambda jobs: every(jobs, lambda job: True),
    "started": started,
}


def matching(jobs: Sequence[Job], text: str) -> list[Job]:
    """The jobs that ``105``, ``105[3-5,7]``, ``name`` or ``na*`` stands for."""
    match = re.fullmatch(r"(\d+)(?:\[([\d,:\s-]+)\])?", text)
    if match is None:
        return [job for job in jobs if name_matches(job, text)]
    wanted = match[2] and set(indices(match[2]))
    return [job for job in jobs if job.id == int(match[1]) and (not wanted or job.index in wanted)]


def name_matches(job: Job, pattern: str) -> bool:
    """Whether the name or, for ``name[3]``, that of the element fits a pattern with ``*``."""
    base, bracket, inner = pattern.partition("[")
    inner = inner.rstrip("]").strip()
    ours = not (bracket and inner) or job.index in set(indices(inner))
    return ours and fnmatch.fnmatchcase(job.request.shown_name, base.replace("?", "[?]"))


def indices(text: str) -> list[int]:
    """The numbers that ``1-9:2,15`` stands for; `ValueError` when it stands for none."""
    return [number for part in text.split(",") for number in _span(part.strip())]


def _span(text: str) -> range:
    match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", text)
    if match is None:
        raise ValueError(text)
    first = int(match[1])
    last = int(match[2] or first)
    if last < first or match[3] == "0":
        raise ValueError(text)
    return range(first, last + 1, int(match[3] or 1))
