"""A root with what an earlier version recorded of holds, limits, notices and given-up jobs is read and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from old_root import read_record, unpack_to_go_on
from roots.make_held import describe
from toyproject import Toy, wait_until

VERSION = "0.1-held"


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Toy]:
    """The project, to go on with."""
    yield from unpack_to_go_on(VERSION, tmp_path)


def test_what_was_held_throttled_and_given_up_is_still_so(moved: Toy) -> None:
    assert describe(moved) == read_record(VERSION)["studies"]
    assert "2 jobs are held for the pilot, and stay so (0 of 1 pilot jobs done, 1 failed)" in moved.output_of(
        "status", "stuck"
    )
    assert "at most 2 jobs at a time" in moved.output_of("status", "held")
    given_up = moved.output_of("status", "given_up")
    assert "2 jobs wait: the worker began no more after 2 equal failures in a row" in given_up
    # Somebody was told of the end of one study, and is not told again.
    assert {file.name.partition(".")[2] for file in moved.root.glob("told/notices/*")} == {"1", "sent"}
    assert [*moved.root.glob("given_up/notices/*.1.failed")]


@pytest.mark.slow
def test_held_jobs_are_released_and_others_resumed(moved: Toy) -> None:
    moved.output_of("release", "piloted")
    moved.output_of("release", "stuck", "--where", "x=11")
    assert "nothing to start" in moved.output_of("resume", "held", "--keep-cancelled")
    moved.output_of("resume", "held", "--wait", "--where", "x=35")
    wait_until(lambda: moved.states("piloted") == {"done": 3}, pause_s=0.3)
    wait_until(lambda: moved.states("stuck") == {"done": 1, "failed": 1, "waiting": 1}, pause_s=0.3)
    assert moved.states("held") == {"done": 4, "waiting": 1}
