"""Conditions on axes, as people type them: ``seed=1,2 fold>=3 task!=a``.

Terms are separated by blanks and must all hold. A value is quoted as in a shell; an unquoted one is a number, true,
false or null where it looks like one, as in Hydra's overrides. Several values, separated by commas, mean any of them
(with ``!=``: none of them). A key may be its last component alone, if only one axis ends in that. A condition on an
axis that a job does not have is false for that job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seedfold.jobs.errors import UsageError, did_you_mean

Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_TERM = re.compile(r"\s*([^\s=!<>,'\"]+)(!=|<=|>=|=|<|>)")
_CHUNK = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|(\[[^\]]*\]|\{[^}]*\})|\\(.)|([^\s'"\\,\[\]{}]+)""")
_INT = re.compile(r"[+-]?(?:0|[1-9]\d*(?:_\d+)*)")
_FLOAT = re.compile(r"[+-]?(?:(?:\d+\.\d*|\.\d+)(?:e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)", re.IGNORECASE)
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


@dataclass(frozen=True)
class Term:
    """One condition on one axis."""

    key: str
    operator: Operator
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether an axis value satisfies the term."""
        if self.operator in ("=", "!="):
            return any(are_equal(value, wanted) for wanted in self.values) == (self.operator == "=")
        return _are_comparable(value, self.values[0]) and _COMPARISONS[self.operator](value, self.values[0])


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

    def matches(self, axes: Mapping[str, Any]) -> bool:
        """Whether all terms hold for one job's axis values."""
        for term in self.terms:
            axis = find_axis(term.key, axes)
            if axis is None or not term.holds(axes[axis]):
                return False
        return True


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
    values, end = _parse_values(text, found.end())
    if operator not in ("=", "!=") and len(values) > 1:
        raise UsageError(f"{text!r}: {key}{operator} takes one value")
    return Term(key, operator, tuple(values)), end  # type: ignore[arg-type]


def _parse_values(text: str, position: int) -> tuple[list[Any], int]:
    values = []
    while True:
        value, position = _parse_value(text, position)
        values.append(value)
        if not text.startswith(",", position):
            return values, position
        position += 1


def _parse_value(text: str, position: int) -> tuple[Any, int]:
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
    return (joined if quoted else parse_word(joined)), position
