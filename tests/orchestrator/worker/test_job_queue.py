"""Which jobs a worker may start: parents first, in order, one at a time where they share a fit, and none for ever."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.state.job_states import JobState, JobStates
from seedfold.orchestrator.worker.job_queue import JobQueue, SlotSize, slot_size

Running = dict[str, JobDescription]


def job(number: int, *parents: int, fit: int | None = None, **options: Any) -> JobDescription:
    resources = Resources(cpus=options.get("cpus", 1))
    names = tuple(f"{parent:064d}" for parent in parents)
    return JobDescription(
        id=f"{number:064d}",
        study="s",
        stage=options.get("stage", "train"),
        axes={"seed": number},
        config={},
        parents=names,
        resources=resources,
        run="builtins.print",
        fit=f"{number if fit is None else fit:064d}",
    )


class States:
    """How jobs stand, as a test says; counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.study: StudyFolder = Root(folder).study_folder("s")
        self.states: dict[str, str] = {}
        self.asked = 0
        self.ledger = self
        self.rerun_attempts: dict[str, int] = {}
        self.others: dict[str, str] = {}
        self.held: set[str] = set()
        self.last_submission_of: dict[str, object] = {}
        self.open_submission_of: dict[str, Any] = {}
        self.plans = self
        self.jobs: dict[str, JobDescription] = {}

    def of(self, name: str) -> JobState:
        self.asked += 1
        return JobState(cast("Any", self.states.get(name, "waiting")), self.study, is_held=name in self.held)

    def needed_parents(self, job: JobDescription) -> list[str]:
        return list(job.parents)

    def find_elsewhere(self, name: str) -> JobState | None:
        state = self.others.get(name)
        return None if state is None else JobState(cast("Any", state), self.study)


def queue_of(jobs: list[JobDescription], states: States) -> JobQueue:
    return JobQueue(jobs, cast("JobStates", states), "mine")


def start(queue: JobQueue, running: Running, slots: int) -> list[str]:
    """Start what is ready in ``slots`` places for one CPU each, as a worker does."""
    started = []
    fits, refused = {one.fit for one in running.values()}, set[SlotSize]()
    for ready in queue.ready_jobs(running, fits, refused):
        if sum(one.resources.cpus for one in running.values()) + ready.resources.cpus > slots:
            refused.add(slot_size(ready))
            continue
        queue.remove(ready.id)
        running[ready.id] = ready
        fits.add(ready.fit)
        started.append(ready.id)
    return started


@pytest.fixture
def states(tmp_path: Path) -> States:
    return States(tmp_path)


def numbers(names: list[str]) -> list[int]:
    return [int(name) for name in names]


def test_jobs_start_in_order_and_children_after_their_parents(states: States) -> None:
    queue, running = queue_of([job(0), job(1), job(2, 0), job(3, 1), job(4)], states), Running()
    assert numbers(start(queue, running, 2)) == [0, 1]
    assert start(queue, running, 2) == []
    states.states[running.pop(job(1).id).id] = "done"
    assert numbers(start(queue, running, 2)) == [3]
    states.states[running.pop(job(0).id).id] = "done"
    assert numbers(start(queue, running, 3)) == [2, 4]


def test_the_children_of_a_failed_job_never_start(states: States) -> None:
    queue, running = queue_of([job(0), job(1, 0), job(2, 1)], states), Running()
    start(queue, running, 1)
    states.states[running.popitem()[0]] = "failed"
    assert start(queue, running, 1) == []
    assert not queue.may_have_more
    assert job(2).id in queue


def test_a_child_waits_for_a_parent_that_is_tried_again(states: States) -> None:
    queue, running = queue_of([job(0), job(1, 0)], states), Running()
    start(queue, running, 1)
    name, again = running.popitem()
    states.states[name] = "submitted"
    queue.add(again)
    assert numbers(start(queue, running, 2)) == [0]
    states.states[running.popitem()[0]] = "done"
    assert numbers(start(queue, running, 2)) == [1]


@pytest.mark.parametrize(("holder", "waits"), [("mine", False), ("another", True)])
def test_a_child_waits_for_a_result_that_was_damaged_only_if_another_submission_has_its_job(
    states: States, holder: str, waits: bool
) -> None:
    queue, running = queue_of([job(0), job(1, 0)], states), Running()
    start(queue, running, 1)
    name, _ = running.popitem()
    states.states[name], states.open_submission_of[name] = "submitted", SimpleNamespace(token=holder)
    assert start(queue, running, 1) == []
    assert queue.may_have_more == waits


def test_a_closed_stage_leaves_no_hope_to_what_comes_after(states: States) -> None:
    queue = queue_of([job(0, stage="fit"), job(1, 0, stage="sum")], states)
    queue.close("fit")
    assert start(queue, {}, 1) == []
    assert not queue.may_have_more


def test_jobs_of_one_fit_run_one_after_the_other(states: States) -> None:
    queue, running = queue_of([job(0, fit=9), job(1, fit=9), job(2)], states), Running()
    assert numbers(start(queue, running, 3)) == [0, 2]
    assert queue.needs_fit_of(job(1, fit=9))
    assert queue.may_have_more
    states.states[running.pop(job(0).id).id] = "done"
    assert numbers(start(queue, running, 3)) == [1]
    assert not queue.needs_fit_of(job(1, fit=9))


def test_a_small_job_starts_beside_large_ones_that_have_no_room(states: States) -> None:
    queue, running = queue_of([job(0), job(1, cpus=2), job(2, cpus=2), job(3)], states), Running()
    assert numbers(start(queue, running, 2)) == [0, 3]


def test_what_somebody_else_has_done_is_let_go_of(states: States) -> None:
    queue = queue_of([job(0), job(1)], states)
    states.states[job(0).id] = "done"
    assert numbers(start(queue, {}, 1)) == [1]
    assert job(0).id not in queue


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_somebody_else_has_given_up_is_let_go_of(states: States, state: str) -> None:
    queue = queue_of([job(0), job(1)], states)
    states.states[job(0).id] = state
    assert numbers(start(queue, {}, 1)) == [1]
    assert job(0).id not in queue


def test_what_another_study_has_done_is_let_go_of_unless_it_is_to_be_done_again(states: States) -> None:
    queue = queue_of([job(0), job(1), job(2)], states)
    states.others = {job(0).id: "done", job(1).id: "done", job(2).id: "running"}
    states.rerun_attempts = {job(1).id: 0}
    assert numbers(start(queue, {}, 3)) == [1]
    assert [*queue] == [job(2).id]
    assert queue.may_have_more


def test_there_is_hope_for_a_child_whose_parent_was_let_go_of(states: States) -> None:
    queue, running = queue_of([job(0), job(1, 0), job(2, 1)], states), Running()
    assert numbers(start(queue, running, 1)) == [0]
    assert start(queue, running, 1) == []
    queue.add(running.pop(job(0).id))
    states.states[job(0).id] = "done"
    assert start(queue, running, 1) == []
    assert queue.may_have_more
    assert numbers(start(queue, running, 1)) == [1]


def test_a_look_asks_about_few_jobs_however_many_are_queued(states: States) -> None:
    parents, children = [job(number) for number in range(500)], [job(500 + number, number) for number in range(500)]
    everything = job(1000, *range(500))
    queue, running = queue_of([*parents, *children, everything], states), Running()
    rounds = 0
    while start(queue, running, 2) or running:
        states.states[running.pop(next(iter(running))).id] = "done"
        rounds += 1
    assert rounds == 1001
    assert states.asked < 10 * rounds


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_every_job_starts_once_after_its_parents_or_not_at_all(data: st.DataObject, tmp_path: Path) -> None:
    states, jobs = States(tmp_path), []
    for number in range(data.draw(st.integers(1, 15))):
        parents = data.draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3)) if number else []
        jobs.append(job(number, *parents, cpus=data.draw(st.integers(1, 2)), fit=data.draw(st.integers(0, 20))))
    failing = data.draw(st.sets(st.integers(0, 14), max_size=3))
    queue, running, started = queue_of(jobs, states), Running(), list[str]()
    while (new := start(queue, running, 2)) or running:
        assert len({one.fit for one in running.values()}) == len(running)
        for name in new:
            assert all(states.states.get(parent) == "done" for parent in jobs[int(name)].parents)
        started += new
        ended = data.draw(st.sampled_from(sorted(running)))
        states.states[running.pop(ended).id] = "failed" if int(ended) in failing else "done"
    assert len(set(started)) == len(started)
    assert not queue.may_have_more
    for name in queue:
        assert any(states.states.get(parent) != "done" for parent in jobs[int(name)].parents)
    assert len(started) + len(list(queue)) == len(jobs)


@pytest.mark.parametrize(("state", "has_hope"), [("waiting", False), ("submitted", True)])
def test_a_worker_stays_only_for_held_jobs_that_come_free_by_themselves(
    states: States, state: str, has_hope: bool
) -> None:
    queue = queue_of([job(0), job(1, 0)], states)
    states.held, states.states = {job(0).id}, {job(0).id: state}
    assert start(queue, {}, 2) == []
    assert queue.may_have_more == has_hope
    states.held = set()
    assert numbers(start(queue, {}, 2)) == [0]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_held_jobs_never_start_and_released_ones_start_once(data: st.DataObject, tmp_path: Path) -> None:
    states, jobs = States(tmp_path), []
    for number in range(data.draw(st.integers(1, 12))):
        parents = data.draw(st.lists(st.integers(0, number - 1), unique=True, max_size=2)) if number else []
        jobs.append(job(number, *parents, fit=data.draw(st.integers(0, 20))))
    names = [one.id for one in jobs]
    queue, running, started = queue_of(jobs, states), Running(), list[str]()
    for is_last in [*[False] * data.draw(st.integers(0, 12)), *[True] * (2 * len(jobs))]:
        states.held = set() if is_last else data.draw(st.sets(st.sampled_from(names)))
        new = start(queue, running, 2)
        assert states.held.isdisjoint(new)
        started += new
        if running:
            states.states[running.pop(min(running)).id] = "done"
    assert sorted(started) == sorted(names)
    assert not queue.may_have_more


def test_the_mates_of_a_job_are_ready_too_and_have_fits_of_their_own(states: States) -> None:
    jobs = [job(0), job(1), job(2, 0), job(3, fit=1), job(4, cpus=2), job(5, stage="other"), job(6), job(7, fit=9)]
    queue = queue_of(jobs, states)
    for most in (1, 10):
        mates = queue.ready_mates(jobs[0], lambda one: str(one.resources.cpus), {}, {job(9).fit}, most)
        assert numbers([mate.id for mate in mates]) == [1, 6][:most]
