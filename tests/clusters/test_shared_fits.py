"""Tasks whose jobs share a training."""

from __future__ import annotations

import pytest
from clusters.conftest import Project, begun, unfinished_jobs
from toyproject import wait_until


@pytest.mark.slow
def test_of_tasks_that_share_a_fit_one_trains_and_the_others_are_sent_again(either: Project) -> None:
    """A task that can do nothing but wait ends, and leaves its node to others."""
    either.toy.hold_jobs()
    either.launch("seed=0", "fold=0", "+predict.note=1,2,3", "cluster.keeper=false")
    begun(either, 1)
    wait_until(lambda: len(unfinished_jobs(either.job_states())) == 1, describe=either.describe)
    assert len(either.toy.executions()) == 1
    either.toy.output_of("advance", "light")
    assert len(either.submissions()) == 1
    either.toy.release_jobs()
    either.wait(done=1, waiting=2)
    either.wait_until_empty()
    either.toy.output_of("advance", "light")
    either.wait(done=3)
    assert either.ran_each_once(3)
