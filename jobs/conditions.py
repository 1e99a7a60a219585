"""Conditions on axes, as people type them: ``seed=1,2 fold>=3 task!=a``.

Terms are separated by blanks and must all hold. A value is quoted as in a shell; an unquoted one is a number, true,
false or null where it looks like one, as in Hydra's overrides. Several values, separated by commas, mean any of them
(with ``!=``: none of them); ``seed=range(0,5)`` means 0 to 4, as in Hydra's sweeps. A key may be its last component
alone, if only one axis ends in that. A condition on an axis that a job does not have is false for that job.

For a job, ``job=1a2b3c`` (or ``id=1a2b3c``) names it by the beginning of its id and ``stage=fit`` by its stage, unless
an axis has that name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from seedfold.jobs.errors import UsageError, did_you_mean

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
ID_KEYS = ("job", "id")
STAGE_KEY = "stage"

_TERM = re.compile(r"\s*([^\s=!<>,'\"]+)(!=|<=|>=|=|<|>)")
_CHUNK = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|(\[[^\]]*\]|\{[^}]*\})|\\(.)|([^\s'"\\,\[\]{}]+)""")
_RANGE = re.compile(r"range\(\s*([+-]?\d+)\s*,\s*([+-]?\d+)\s*(?:,\s*([+-]?\d+)\s*)?\)")
_MOST_OF_A_RANGE = 100_000
_INT = re.compile(r"[+-]?(?:0|[1-9]\d*(?:_\d+)*)")
_FLOAT = re.compile(r"[+-]?(?:(?:\d+\.\d*|\.\d+)(?:e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)", re.IGNORECASE)
_SHOWN_VALUES, _LONGEST_VALUE = 10, 60
_SPECIAL_WORDS = {"null": None, "true": True, "false": False}
_COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def parse_word(text: str) -> Any:
    """Return an unquoted word as the number, bool or null that it looks like, else as text."""
    if text.lower() in _SPECIAL_WORDS:
        return _SPECIAL_WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def are_equal(left: Any, right: Any) -> bool:
    """Whether two axis values are equal to a person: 1 is 1.0, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (list, dict)) and isinstance(right, str):
        return json.dumps(left, separators=(",", ":")) == re.sub(r"\s", "", right)
    return bool(left == right)


def _are_comparable(left: Any, right: Any) -> bool:
    """Whether two values have an order: two numbers or two texts."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


class Selectable(Protocol):
    """A job, as conditions see it."""

    @property
    def id(self) -> str:
        """The whole id."""

    @property
    def stage(self) -> str:
        """The name of the stage."""

    @property
    def axes(self) -> Mapping[str, Any]:
        """The values of the axes."""


@dataclass(frozen=True)
class Term:
    """One condition on one axis. ``texts`` are the values as they were typed: an id may look like a number."""

    key: str
    operator: Operator
    values: tuple[Any, ...]
    texts: tuple[str, ...] = field(default=(), compare=False)

    def holds(self, value: Any) -> bool:
        """Whether an axis value satisfies the term."""
        if self.operator in ("=", "!="):
            return any(are_equal(value, wanted) for wanted in self.values) == (self.operator == "=")
        return _are_comparable(value, self.values[0]) and _COMPARISONS[self.operator](value, self.values[0])

    def holds_for_id(self, job_id: str) -> bool:
        """Whether an id begins as one of the values says; with ``!=``, as none of them."""
        return any(job_id.startswith(text.lower()) for text in self.texts) == (self.operator == "=")


def find_axis(key: str, axes: Iterable[str]) -> str | None:
    """Return the axis that ``key`` names in full or by its last component; None if there is none.

    Raises UsageError if several axes end in ``key``.
    """
    known = list(axes)
    if key in known:
        return key
    matching = [axis for axis in known if re.split(r"[./]", axis)[-1] == key]
    if len(matching) > 1:
        raise UsageError(
            f"{key}: several axes end in this name ({', '.join(sorted(matching))}); write the whole name of one"
        )
    return matching[0] if matching else None


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Where:
        """Read ``seed=1,2 fold>=3 task!=a``; raises UsageError, which shows the part that cannot be read."""
        terms, position = [], 0
        while text[position:].strip():
            term, position = _parse_term(text, position)
            terms.append(term)
        return cls(tuple(terms))

    def check(self, known_axes: Iterable[str]) -> None:
        """Raise UsageError, with the nearest name, for a key that is not one of ``known_axes``."""
        known = list(known_axes)
        for term in self.terms:
            if find_axis(term.key, known) is None:
                axes = ", ".join(known) or "none"
                raise UsageError(f"{term.key}: no such axis{did_you_mean(term.key, known)}; axes: {axes}")

    def check_values(self, jobs: Iterable[Selectable]) -> None:
        """Raise UsageError for a term ``KEY=VALUES`` that no job meets; it names the values that there are."""
        jobs = list(jobs)
        for term in self.terms:
            if term.operator == "=" and jobs:
                _check_value(term, jobs)

    def matches(self, axes: Mapping[str, Any]) -> bool:
        """Whether all terms hold for one job's axis values."""
        for term in self.terms:
            axis = find_axis(term.key, axes)
            if axis is None or not term.holds(axes[axis]):
                return False
        return True

    def check_for_jobs(self, jobs: Iterable[Selectable]) -> None:
        """Check the keys, the names of stages and the ids against jobs. Raises UsageError, with the nearest name."""
        axes: dict[str, None] = {}
        stages: dict[str, None] = {}
        ids = set()
        jobs = list(jobs)
        for job in jobs:
            axes.update(dict.fromkeys(job.axes))
            stages.setdefault(job.stage)
            ids.add(job.id)
        on_jobs = tuple(term for term in self.terms if _is_on_job(term, axes))
        on_axes = Where(tuple(term for term in self.terms if term not in on_jobs))
        on_axes.check(axes)
        on_axes.check_values(jobs)
        for term in on_jobs:
            if term.operator not in ("=", "!="):
                raise UsageError(f"{term.key}{term.operator}: write {term.key}= or {term.key}!=")
            if term.key == STAGE_KEY:
                check_stages(term.texts, stages, "stage=")
            for text in term.texts if term.key in ID_KEYS else ():
                if not any(job_id.startswith(text.lower()) for job_id in ids):
                    raise UsageError(f"{term.key}={text}: no job's id begins so")

    def matches_job(self, job: Selectable) -> bool:
        """Whether all terms hold for a job: for the values of its axes, its id and its stage."""
        for term in self.terms:
            axis = find_axis(term.key, job.axes)
            if axis is not None:
                holds = term.holds(job.axes[axis])
            elif term.key in ID_KEYS:
                holds = term.holds_for_id(job.id)
            else:
                holds = term.key == STAGE_KEY and (job.stage in term.texts) == (term.operator == "=")
            if not holds:
                return False
        return True


def check_stages(names: Iterable[str], known: Collection[str], prefix: str) -> None:
    """Raise UsageError, with the nearest name, for a stage that is not known; ``prefix`` says where it was written."""
    for name in names:
        if name not in known:
            raise UsageError(
                f"{prefix}{name}: no such stage{did_you_mean(name, known)}; stages: {', '.join(known) or 'none'}"
            )


def _check_value(term: Term, jobs: Iterable[Selectable]) -> None:
    found: dict[str, None] = {}
    for job in jobs:
        axis = find_axis(term.key, job.axes)
        if axis is None:
            continue
        if term.holds(job.axes[axis]):
            return
        found.setdefault(_value_text(job.axes[axis]))
    some = list(found)[:_SHOWN_VALUES]
    more = ", …" if len(found) > len(some) else ""
    typed = _value_text(",".join(term.texts))
    is_range = re.fullmatch(r"(-?\d+)(?:-|\.\.|:)(-?\d+)", typed)
    advice = f"; for a range: '{term.key}>={is_range[1]} {term.key}<={is_range[2]}'" if is_range else ""
    raise UsageError(f"{term.key}={typed}: no job has this value{advice}; values: {', '.join(some)}{more}")


def _value_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _is_on_job(term: Term, axes: Collection[str]) -> bool:
    return term.key in (*ID_KEYS, STAGE_KEY) and find_axis(term.key, axes) is None


def split_conditions(text: str, keys: Collection[str]) -> tuple[str, str]:
    """Return the conditions on these keys and the others, each as text. Raises UsageError as `Where.parse`."""
    inside: list[str] = []
    others: list[str] = []
    position = 0
    while text[position:].strip():
        term, end = _parse_term(text, position)
        (inside if term.key in keys else others).append(text[position:end].strip())
        position = end
    return " ".join(inside), " ".join(others)


def _parse_term(text: str, start: int) -> tuple[Term, int]:
    found = _TERM.match(text, start)
    if found is None:
        raise UsageError(f"{text!r}: expected a condition at {text[start:].strip()!r}; write e.g. 'seed=1,2 fold>=3'")
    key, operator = found[1], found[2]
    values, texts, end = _parse_values(text, found.end())
    if operator not in ("=", "!=") and len(values) > 1:
        raise UsageError(f"{text!r}: {key}{operator} takes one value")
    return Term(key, operator, tuple(values), tuple(texts)), end  # type: ignore[arg-type]


def _parse_values(text: str, position: int) -> tuple[list[Any], list[str], int]:
    values: list[Any] = []
    texts: list[str] = []
    while True:
        found = _RANGE.match(text, position)
        if found is not None:
            numbers, position = _numbers_of_range(found), found.end()
            values += numbers
            texts += map(str, numbers)
        else:
            value, typed, position = _parse_value(text, position)
            values.append(value)
            texts.append(typed)
        if not text.startswith(",", position):
            return values, texts, position
        position += 1


def _numbers_of_range(found: re.Match[str]) -> range:
    step = int(found[3] or 1)
    numbers = range(int(found[1]), int(found[2]), step) if step else range(0)
    if not 0 < len(numbers) <= _MOST_OF_A_RANGE:
        raise UsageError(f"{found[0]}: has {len(numbers)} values; a range has at least 1 and at most 100000")
    return numbers


def _parse_value(text: str, position: int) -> tuple[Any, str, int]:
    chunks: list[str] = []
    quoted = False
    start = position
    if text.startswith("=", start):
        raise UsageError(
            f"{text!r}: {text[start:]!r} is not a value; write one = and quote a value that starts with it"
        )
    while (found := _CHUNK.match(text, position)) is not None:
        single, double, bracketed, escaped, bare_word = found.groups()
        quoted = quoted or single is not None or double is not None or escaped is not None
        unescaped = re.sub(r"\\(.)", r"\1", double) if double is not None else None
        chunks.append(next(part for part in (single, unescaped, bracketed, escaped, bare_word) if part is not None))
        position = found.end()
    if not chunks:
        raise UsageError(
            f"{text!r}: a value is missing at {text[start:].strip()[:20]!r}; quote a value that contains blanks"
        )
    joined = "".join(chunks)
    return (joined if quoted else parse_word(joined)), joined, position
