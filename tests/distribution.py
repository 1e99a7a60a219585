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
_OWN_CLUSTER = "slurm_alone"
"""The fixture of a SLURM that one worker has for itself."""
_MODULE_FIXTURE = '@pytest.fixture(scope="module")'


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


class SharedFixtureScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out one test at a time, but tests that share what takes long to make go to one worker, in one go.

    Each worker that has a test of a module makes the fixtures of the module anew, and its own SLURM. Tests that are
    long themselves are handed out alone, so that the others of their module do not wait for them.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._folder = config.rootpath

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the group of tests that a test belongs to: its own name for a test on its own."""
        module = nodeid.partition("::")[0]
        text = _read_text(self._folder / module)
        if _OWN_CLUSTER in text:
            return _OWN_CLUSTER
        return module if _MODULE_FIXTURE in text and nodeid not in long_tests() else nodeid


@cache
def _read_text(module: Path) -> str:
    return module.read_text()
