"""Schedules of faults over a small study: nothing is lost, nothing is done twice, and all results are the same."""

from __future__ import annotations

import os
import subprocess
import sys
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
    "slurm": 3,
}
RUN = Path(__file__).with_name("run.py")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", SCHEDULES)
def test_what_holds_after_faults(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> None:
    reason = reason_to_skip(make_schedule(0, kind))
    if reason is not None:
        pytest.skip(f"schedules of the kind {kind}: {reason}")
    base = tmp_path_factory.getbasetemp()
    # All processes of pytest share what a run without faults leaves.
    undisturbed = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed.pickle"
    count, folder = str(SCHEDULES[kind]), tmp_path_factory.mktemp("faults") / "here"
    command = [sys.executable, RUN, "--kind", kind, "--count", count, "--folder", folder, "--undisturbed", undisturbed]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_kind_is_tried() -> None:
    assert set(SCHEDULES) == set(KINDS)
    assert sum(SCHEDULES.values()) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_makes_the_same_schedule_again(kind: Kind) -> None:
    assert [make_schedule(seed, kind) for seed in range(20)] == [make_schedule(seed, kind) for seed in range(20)]
    assert len({make_schedule(seed, kind).steps for seed in range(20)}) > 10
