"""Patterns over dotted configuration keys: ``*`` stands for one component or part of it, ``**`` for any number.

``paths.**`` matches ``paths`` and everything below it; ``**.num_workers`` matches that key at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

KeyPath = tuple[str, ...]


class Patterns:
    """A set of patterns. It is asked often, so answers are kept."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._regex = re.compile("|".join(_pattern_regex(pattern) for pattern in self.patterns) or r"(?!)")
        self._match_by_path: dict[KeyPath, bool] = {}

    def matches(self, path: KeyPath) -> bool:
        """Whether the key at ``path`` is named by a pattern."""
        known = self._match_by_path.get(path)
        if known is None:
            known = self._regex.fullmatch("".join(f"{part}\n" for part in path)) is not None
            self._match_by_path[path] = known
        return known

    def covers(self, path: KeyPath) -> bool:
        """Whether ``path`` or one of the mappings it lies in is named by a pattern."""
        return any(self.matches(path[:length]) for length in range(1, len(path) + 1))


def _pattern_regex(pattern: str) -> str:
    # Components end in a newline, which a wildcard does not match.
    return "".join(r"(?:[^\n]*\n)*" if part == "**" else _component_regex(part) for part in pattern.split("."))


def _component_regex(part: str) -> str:
    return translate(part).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z") + r"\n"
