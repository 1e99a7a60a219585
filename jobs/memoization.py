"""Sources of a template, and a cache of results by the numbers of the source values that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from seedfold.jobs.key_patterns import KeyPath

MAX_RESULTS = 1 << 15
"""The largest number of results in one cache: the fastest axes repeat within so many points, or never."""

Numbers = tuple[int, ...]
ValueLookup = Callable[[int], tuple[Any, ...]]


@dataclass(frozen=True)
class ValueSource:
    """A place whose value differs between points: its path, and its value by number."""

    path: KeyPath
    lookup: ValueLookup


class ResultCache:
    """Results by the numbers of the sources they depend on; forgets everything when it is full."""

    def __init__(self, sources: Sequence[int]) -> None:
        self.sources = tuple(sources)
        self.make_key: Callable[[Numbers], Any] = itemgetter(*self.sources) if self.sources else _empty_key
        self._results: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        """Return what was kept under ``key``, or None."""
        return self._results.get(key)

    def add(self, key: Any, result: Any) -> Any:
        """Keep and return ``result``."""
        if len(self._results) >= MAX_RESULTS:
            self._results.clear()
        self._results[key] = result
        return result


def _empty_key(numbers: Numbers) -> tuple[()]:
    return ()
