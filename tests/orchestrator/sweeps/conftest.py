"""The stranger's program as a fixture; see `strangers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from strangers import HydraProgram, make_hydra_program


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[HydraProgram]:
    """A program that has not run yet."""
    program = make_hydra_program(tmp_path / "project")
    yield program
    program.toy.kill_workers()
