"""The order in which tests begin, and which of them run in the same worker of pytest-xdist."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

DURATIONS = Path(__file__).with_name("durations.txt")
_WAITING = "tests/clusters/"
"""Tests that mostly wait for a scheduler."""


@cache
def long_tests() -> dict[str, float]:
    """The seconds of the longest tests, by name."""
    lines = (line.split(maxsplit=1) for line in DURATIONS.read_text().splitlines() if not line.startswith("#"))
    return {name: float(number) for number, name in lines}


def sort_tests(items: list[pytest.Item]) -> None:
    """Sort the longest first: a long one that begins last keeps all processors but one waiting.

    Those that wait are spread evenly among those that compute.
    """
    counts = Counter(item.nodeid.startswith(_WAITING) for item in items)
    before: Counter[bool] = Counter()
    places = {}
    for item in items:
        waits = item.nodeid.startswith(_WAITING)
        places[item] = before[waits] / counts[waits]
        before[waits] += 1
    items.sort(key=lambda item: (-long_tests().get(item.nodeid, 0.0), places[item]))


class ModuleScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out one test at a time, but tests that share a fixture of their module go to one worker, in one go.

    Each worker that has a test of a module makes such a fixture anew. Long tests are always handed out alone.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._folder = config.rootpath

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if nodeid not in long_tests() and _has_fixture(self._folder / module) else nodeid


@cache
def _has_fixture(module: Path) -> bool:
    return '@pytest.fixture(scope="module")' in module.read_text()
