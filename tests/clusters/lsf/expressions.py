"""Conditions of LSF's: ``done(1) && (exit(2, >3) || numdone(3, >=2))``, and what ``select[…]`` says of hosts.

A condition is a function that says True, or None while nothing is decided, or False when it can never hold.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Condition = Callable[[T], bool | None]
Leaf = Callable[[str, list[str]], Condition[T]]

TOKEN = re.compile(r"""\s*(&&|\|\||>=|<=|==|!=|[()!,<>=]|"[^"]*"|'[^']*'|(?:[^\s()&|!,<>="'\[]|\[[^\]]*\])+)""")
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


class SyntaxFault(Exception):
    """What was written is no condition."""


def parse(text: str, leaf: Leaf[T]) -> Condition[T]:
    """The condition; ``leaf`` makes one of a name and its arguments, or of a comparison ``name op value``.

    Raises `SyntaxFault`, and what ``leaf`` raises.
    """
    parser = _Parser(tokens(text), leaf)
    condition = parser.any()
    if parser.tokens:
        raise SyntaxFault(parser.tokens[0])
    return condition


def tokens(text: str) -> list[str]:
    """The words and signs of a condition."""
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise SyntaxFault(text[position:])
        found.append(match[1])
        position = match.end()
    return found


def compare(sign: str, left: float, right: float) -> bool:
    """Whether ``left sign right``."""
    return bool(COMPARISONS[sign](left, right))


class _Parser(Generic[T]):
    def __init__(self, tokens: list[str], leaf: Leaf[T]):
        self.tokens = tokens
        self.leaf = leaf

    def any(self) -> Condition[T]:
        parts = [self.all()]
        while self.take("||"):
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else lambda what: either([part(what) for part in parts])

    def all(self) -> Condition[T]:
        parts = [self.one()]
        while self.take("&&"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda what: negated(either([negated(part(what)) for part in parts]))

    def one(self) -> Condition[T]:
        if self.take("!"):
            inner = self.one()
            return lambda what: negated(inner(what))
        if self.take("("):
            inner = self.any()
            self.need(")")
            return inner
        return self.named()

    def named(self) -> Condition[T]:
        name = self.word()
        if self.take("("):
            arguments = []
            while not self.take(")"):
                arguments.append(self.next())
            return self.leaf(name, arguments)
        if self.tokens and self.tokens[0] in COMPARISONS:
            return self.leaf(name, [self.next(), self.word()])
        return self.leaf(name, [])

    def word(self) -> str:
        word = self.next()
        if word in COMPARISONS or word in {"(", ")", "&&", "||", ",", "!"}:
            raise SyntaxFault(word)
        return word.strip("\"'") if word[0] in "\"'" else word

    def next(self) -> str:
        if not self.tokens:
            raise SyntaxFault("unexpected end")
        return self.tokens.pop(0)

    def take(self, token: str) -> bool:
        found = bool(self.tokens) and self.tokens[0] == token
        if found:
            self.tokens.pop(0)
        return found

    def need(self, token: str) -> None:
        if not self.take(token):
            raise SyntaxFault(token)


def either(values: list[bool | None]) -> bool | None:
    """True if one is, None if one may become so."""
    if True in values:
        return True
    return None if None in values else False


def negated(value: bool | None) -> bool | None:
    """The opposite of what is decided."""
    return None if value is None else not value
