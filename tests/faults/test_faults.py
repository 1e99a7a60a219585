"""Schedules of faults over a small study: nothing is lost, nothing is done twice, and all results are the same."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.run import reason_to_skip
from faults.schedule import KINDS, Kind, make_schedule

SCHEDULES: dict[Kind, int] = {
    "local": 9,
    "hosts": 6,
    "caches": 7,
    "clocks": 5,
    "errors": 7,
    "full": 5,
    "files": 6,
    "users": 4,
    "lsf": 8,
    "slurm": 2,
    "daemons": 1,
}
RUN = Path(__file__).with_name("run.py")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike those of pytest; it is kept if a schedule fails."""
    folder = Path(tempfile.mkdtemp(prefix="seedfold-faults-"))
    folder.chmod(0o755)
    yield folder
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@pytest.mark.slow
@pytest.mark.quiet
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", SCHEDULES)
def test_what_holds_after_faults(kind: Kind, open_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    reason = reason_to_skip(make_schedule(0, kind))
    if reason is not None:
        pytest.skip(f"schedules of the kind {kind}: {reason}")
    # All kinds share what a run without faults leaves.
    undisturbed = tmp_path_factory.getbasetemp() / "undisturbed.pickle"
    command = [sys.executable, RUN, "--kind", kind, "--count", str(SCHEDULES[kind])]
    command += ["--side-by-side", "4", "--folder", open_folder, "--undisturbed", undisturbed]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_kind_is_tried() -> None:
    assert set(SCHEDULES) == set(KINDS)
    assert sum(SCHEDULES.values()) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_makes_the_same_schedule_again(kind: Kind) -> None:
    assert [make_schedule(seed, kind) for seed in range(20)] == [make_schedule(seed, kind) for seed in range(20)]
    assert len({make_schedule(seed, kind).steps for seed in range(20)}) > 10
