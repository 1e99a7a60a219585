"""The toy project as a fixture; see `toyproject`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from toyproject import Toy, make_toy


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    project = make_toy(tmp_path)
    yield project
    project.kill_workers()
