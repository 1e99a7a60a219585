"""At most so many jobs of a study run at a time, on this machine and on a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_scheduler import ScriptedEnvironment, ScriptedScheduler, install, run_task, submissions
from toyproject import Toy, wait_until

from seedfold.orchestrator.ledger.events import EventWriter, is_event
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.ledger.throttle import Throttle
from seedfold.orchestrator.schedulers.advance_round import AdvanceRound, tasks_at_a_time


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    return install(monkeypatch)


EVENTS = st.lists(
    st.fixed_dictionaries({"t": st.integers(0, 5), "limit": st.one_of(st.none(), st.integers(1, 9))}), max_size=6
)


@given(EVENTS, st.randoms())
def test_the_latest_limit_counts_in_whatever_order_it_is_read(events: list[dict[str, Any]], random: Any) -> None:
    first, second = Throttle(), Throttle()
    for event in events:
        first.add_event(event)
    for event in random.sample(events, len(events)):
        second.add_event(event)
    assert first == second
    if events:
        latest = max(event["t"] for event in events)
        assert first.limit in [event["limit"] for event in events if event["t"] == latest]


@pytest.mark.parametrize("limit", [0, -1, "2", 1.0, True])
def test_damaged_limits_are_told_apart(limit: object) -> None:
    assert not is_event({"e": "throttled", "t": 1.0, "jobs": {}, "limit": limit})
    assert is_event({"e": "throttled", "t": 1.0, "jobs": {}, "limit": 3})


def test_workers_of_this_machine_begin_no_more_than_they_may(toy: Toy) -> None:
    toy.hold_jobs()
    assert toy.launch("--detach", "cluster.slots=4", "seed=0", experiment="light").returncode == 0
    wait_until(lambda: toy.states("light") == {"running": 3})
    assert toy.json_of("throttle", "light", "3") == {"study": "light", "throttle": 3}
    # Another worker of the same study finds that as many run as may.
    assert toy.launch("--detach", "cluster.slots=4", experiment="light").returncode == 0
    wait_until(lambda: len([one for one in submissions(toy) if one.worker_process()]) == 2)
    wait_until(lambda: any((one.folder / "waits").exists() for one in submissions(toy)))
    assert toy.states("light") == {"running": 3, "submitted": 3}
    said = toy.output_of("status", "light")
    assert "at most 3 jobs at a time; to lift it: seedfold throttle light off" in said
    toy.output_of("throttle", "light", "1")
    toy.release_jobs()
    wait_until(lambda: toy.states("light") == {"done": 6})
    assert toy.json_of("status", "light")["throttle"] == 1
    assert "any number" in toy.output_of("throttle", "light", "off")


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_a_number_that_is_none_is_refused(toy: Toy, number: str) -> None:
    refused = toy.run_in_process("throttle", "light", "--", number)
    assert refused.returncode == 2
    assert "neither a whole number of at least 1 nor off" in refused.stderr


def test_the_scheduler_is_told_once(toy: Toy, scheduler: ScriptedScheduler) -> None:
    launched = toy.launch("cluster=slurm", "cluster.settle_s=1", "cluster.throttle=5", experiment="light")
    assert launched.returncode == 0
    number = next(iter(scheduler.arrays))
    toy.output_of("throttle", "light", "2")
    toy.output_of("advance", "light")
    toy.output_of("throttle", "light", "9")
    assert scheduler.throttles == [(number, 2), (number, 5)]
    toy.output_of("throttle", "light", "off")
    scheduler.is_away = True
    assert toy.run_in_process("throttle", "light", "1").returncode == 3
    scheduler.is_away = False
    toy.output_of("status", "light")
    assert scheduler.throttles[2:] == [(number, 1)]


def test_arrays_that_run_at_the_same_time_share_what_is_allowed(toy: Toy, scheduler: ScriptedScheduler) -> None:
    arguments = ("cluster=slurm", "cluster.settle_s=1", "cluster.max_submitted=10")
    assert toy.launch(*arguments, experiment="light").returncode == 0
    # Two arrays of the six jobs, as the limit on the queue wants.
    assert [one.submission.task_count for one in scheduler.arrays.values()] == [4, 2]
    toy.output_of("throttle", "light", "4")
    assert sorted(scheduler.throttles) == sorted((number, 2) for number in scheduler.arrays)
    scheduler.throttles.clear()
    submission = submissions(toy)[-1]
    for index in range(submission.task_count):
        run_task(toy, ScriptedEnvironment(index=index))
    toy.output_of("advance", "light")
    assert scheduler.throttles == [(next(iter(scheduler.arrays)), 4)]


def test_arrays_of_which_one_waits_for_the_other_share_nothing(toy: Toy, scheduler: ScriptedScheduler) -> None:
    assert toy.launch("cluster=slurm", "cluster.settle_s=1", experiment="chain").returncode == 0
    fit, total = submissions(toy, "chain")
    EventWriter(toy.study("chain").events_folder).append("throttled", t=1.0, jobs={}, limit=3)
    this_round = AdvanceRound(Root(toy.root), toy.study("chain"), Ledger(toy.study("chain")))
    this_round.share_throttle()
    # The second starts after the first, so that each has all.
    assert [this_round.throttle_of(one) for one in (fit, total)] == [3, 3]


def test_packed_tasks_count_the_jobs_that_they_run_side_by_side(toy: Toy, scheduler: ScriptedScheduler) -> None:
    packed = ("cluster.jobs_per_task=3", "cluster.slots=3")
    assert toy.launch("cluster=slurm", "cluster.settle_s=1", *packed, experiment="light").returncode == 0
    submission: Submission = submissions(toy)[0]
    assert [tasks_at_a_time(submission, jobs, 1) for jobs in (None, 1, 3, 7)] == [None, 1, 1, 2]
