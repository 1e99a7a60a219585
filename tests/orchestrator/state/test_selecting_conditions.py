"""Conditions that select just some jobs among others."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from seedfold.jobs.conditions import Where
from seedfold.orchestrator.state.selecting_conditions import ConditionFinder, find_condition


class Place(NamedTuple):
    stage: str
    axes: dict[str, Any]


def sweep() -> list[Place]:
    return [
        Place("train", {"lr": lr, "width": width, "seed": seed})
        for lr, width, seed in product((0.01, 0.1, 1.0), (16, 64), (0, 1))
    ]


def with_values(jobs: list[Place], **values: Any) -> list[Place]:
    return [job for job in jobs if values.items() <= job.axes.items()]


def test_one_setting_is_enough_where_it_tells_the_jobs_apart() -> None:
    jobs = sweep()
    found = find_condition(with_values(jobs, lr=1.0), jobs)
    assert found is not None
    assert found.text == "lr=1"
    every = find_condition(jobs, jobs)
    assert every is not None
    assert every.text == ""


def test_only_those_settings_are_named_that_are_needed() -> None:
    jobs = sweep()
    wanted = with_values(jobs, lr=0.1, width=64)
    found = find_condition(wanted, jobs)
    assert found is not None
    assert found.text == "lr=0.1 width=64"
    where = Where.parse(found.text)
    assert [where.matches(job.axes) for job in jobs] == [job in wanted for job in jobs]


def test_jobs_that_lack_an_axis_do_not_meet_a_condition_on_it() -> None:
    jobs = [*sweep(), Place("test", {"seed": 0})]
    assert find_condition(with_values(jobs, seed=0), jobs) is not None
    found = find_condition(with_values(jobs, seed=0)[:-1], jobs)
    assert found is not None
    assert (found.text, found.stages) == ("seed=0", ["train"])


def test_some_jobs_no_settings_tell_apart() -> None:
    jobs = sweep()
    assert find_condition([jobs[0], jobs[3]], jobs) is None


def test_a_stage_and_texts_are_told_apart_as_the_shell_and_conditions_need_it() -> None:
    jobs = [Place("fit", {"note": "a b"}), Place("fit", {"note": "it's"}), Place("test", {"note": "a b"})]
    found = find_condition(jobs[2:], jobs)
    assert found is not None
    assert found.options == ["--stage test"]
    found = find_condition(jobs[1:2], jobs)
    assert found is not None
    assert Where.parse(found.text).matches({"note": "it's"})
    assert not Where.parse(found.text).matches({"note": "a b"})


def test_what_jobs_share_is_said_as_a_condition() -> None:
    jobs = [Place("fit", {"lr": lr, "seed": seed, "kind": "a"}) for lr in (0.1, 1.0) for seed in range(9)]
    finder = ConditionFinder(jobs)
    some = with_values(jobs, lr=1.0)
    assert finder.shared_by(some).text == "lr=1"
    assert finder.shared_by(some[:2]).text == "lr=1 seed=0,1"
    assert finder.shared_by(some[:7]).text == "lr=1", "seven values are too many to read"
