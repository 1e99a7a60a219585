"""The toy project as fixtures; see `toyproject`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toyproject import Toy, make_toy


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    """A project in which nothing has been launched."""
    project = make_toy(tmp_path)
    yield project
    project.kill_workers()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A project whose study ``toy`` is done: to look at only."""
    project = make_toy(tmp_path_factory.mktemp("finished"))
    ended = project.launch()
    assert ended.returncode == 0, ended.stderr
    project.wait_for_workers()
    return project


@pytest.fixture
def done(finished: Toy, tmp_path: Path) -> Iterator[Toy]:
    """A copy of the finished project, to change at will."""
    folder = tmp_path / "project"
    shutil.copytree(finished.folder, folder)
    moved = {name: str(folder / Path(finished.environment[name]).name) for name in ("SEEDFOLD_ROOT", "HOME", "TMPDIR")}
    project = replace(finished, folder=folder, root=folder / "runs", environment={**finished.environment, **moved})
    yield project
    project.kill_workers()
