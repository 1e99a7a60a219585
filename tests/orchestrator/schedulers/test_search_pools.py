"""The tasks of a search, and what they are offered."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_scheduler import ScriptedScheduler, submissions
from searchtoy import add_hunt
from toyproject import Toy, make_toy

from seedfold.orchestrator.ledger.events import EventWriter
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.job_queue import JobQueue
from seedfold.orchestrator.worker.search_pool import SearchPool

GIB = 2**30


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    toy = make_toy(tmp_path / "project")
    add_hunt(toy)
    return toy


def pool_of(toy: Toy, submission: Submission) -> tuple[SearchPool, JobQueue]:
    """What a task of a submission sees when it begins."""
    ledger = Ledger(toy.study("hunt"), keeps=False)
    states = JobStates(Root(toy.root), ledger, RetryPolicies.parse(submission.settings["failures"]))
    pool = SearchPool.of_task(submission, 0, states)
    assert pool is not None
    queue = JobQueue([], states, submission.token, waits_for_others=False)
    pool.fill(queue, ())
    return pool, queue


def test_a_job_that_had_too_little_memory_gets_a_larger_task(toy: Toy, scheduler: ScriptedScheduler) -> None:
    ended = toy.launch("cluster=slurm", "cluster.settle_s=1", "search.trials=2", experiment="hunt")
    assert ended.returncode == 0, ended.stderr
    [first] = submissions(toy, "hunt")
    jobs = list(Ledger(toy.study("hunt")).plans.trial_jobs)
    assert list(pool_of(toy, first)[1]) == jobs
    scheduler.set_state("running", "RUNNING", 0, 1)
    writer = EventWriter(toy.study("hunt").events_folder)
    details = {"reason": "too little", "digest": "oom", "node": "n1", "submission": first.token}
    writer.append("failed", job=jobs[0], n=1, kind="oom_host", **details)
    pool, queue = pool_of(toy, first)
    assert list(queue) == jobs[1:]
    writer.append("failed", job=jobs[1], n=1, kind="config", **details)
    writer.close()
    pool, queue = pool_of(toy, first)
    assert not pool.decide(queue, ())
    assert not pool.may_have_more, "this task would wait for a larger one, which waits for its end"
    toy.output_of("advance", "hunt")
    [_, second] = submissions(toy, "hunt")
    assert second.array is not None
    assert (second.task_count, second.array.resources.memory_bytes) == (1, 2 * GIB)
    assert list(pool_of(toy, second)[1]) == jobs[:1]
    toy.output_of("advance", "hunt")
    assert len(submissions(toy, "hunt")) == 2
