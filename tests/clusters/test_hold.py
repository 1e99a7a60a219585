"""Holding, releasing and throttling what a scheduler has already."""

from __future__ import annotations

import pytest
from clusters.conftest import JOBS, Project, begun
from toyproject import wait_until

pytestmark = pytest.mark.slow


def test_what_is_submitted_is_throttled_held_and_released(either: Project) -> None:
    either.toy.hold_jobs()
    either.launch("--pilot", "1")
    begun(either, 1)
    # The others are not in the queue yet.
    assert [one.scheduler_id() is None for one in either.submissions()] == [False, True]
    either.toy.output_of("throttle", "light", "2")
    either.toy.output_of("release", "light")
    # Two arrays share two jobs at a time.
    begun(either, 2)
    assert either.states() == {"running": 2, "submitted": JOBS - 2}
    either.toy.output_of("throttle", "light", "4")
    begun(either, 3)
    assert f"{JOBS - 3} jobs held" in either.toy.output_of("hold", "light")
    either.toy.release_jobs()
    # Their tasks begin, find that they are held, and end.
    wait_until(lambda: not either.ledger().live_submissions, describe=either.describe)
    assert either.states() == {"done": 3, "waiting": JOBS - 3}
    either.toy.output_of("throttle", "light", "off")
    either.toy.output_of("release", "light")
    either.wait_with_status(done=JOBS)
    assert either.ran_each_once()
