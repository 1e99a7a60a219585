"""Which settings fail: what is said of groups of failures, and how little is read for it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from seedfold.orchestrator.state import failure_places
from seedfold.orchestrator.state.failure_places import find_failure_places
from seedfold.orchestrator.state.job_views import DoneGroup, JobView, JobViews
from seedfold.orchestrator.state.overview import FailureGroup


def axes_of(number: int) -> dict[str, Any]:
    return {"lr": 1.0 if number % 10 == 0 else 0.1, "seed": number // 10}


def view(number: int, state: str) -> JobView:
    found = SimpleNamespace(id=f"job{number}", stage="fit", axes=axes_of(number), state=state, changes=())
    return cast("JobView", found)


class OnlyAxes:
    """Reads the axes of jobs; their descriptions and events may not be read."""

    def read_view(self, group: DoneGroup, number: int) -> NoReturn:
        raise AssertionError(f"the description of {group.places[number]} was read")

    def read_axes(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [axes_of(row) for row in rows]


def study(count: int, failed: list[int], **states: str) -> JobViews:
    """A study whose other jobs are done; ``states`` by ``job7``. The description of none of these may be read."""
    told = dict.fromkeys(failed, "failed") | {int(job[3:]): state for job, state in states.items()}
    others = {number: view(number, state) for number, state in sorted(told.items())}
    places = [number for number in range(count) if number not in others]
    times, attempts = [0.0] * len(places), [1] * len(places)
    group = DoneGroup(view(places[0], "done"), places, times, times, attempts, places)
    return JobViews([f"job{number}" for number in range(count)], [group], others, OnlyAxes())


def texts(views: JobViews, *groups: list[int]) -> list[str]:
    example: dict[str, Any] = {}
    found = [FailureGroup("error", tuple(f"job{number}" for number in group), example) for group in groups]
    return [place.text for place in find_failure_places(found, views)]


def test_a_condition_that_just_the_failed_jobs_meet_is_found_without_their_descriptions() -> None:
    failed = list(range(0, 100, 10))
    assert texts(study(100, failed), failed) == ["every job with lr=1 that has ended failed so, and no other"]


def test_jobs_that_have_not_ended_do_not_count_and_one_job_needs_no_words() -> None:
    views = study(100, [0, 11, 5])
    assert texts(views, [0, 11], [5]) == ["all with seed=0,1", ""]
    views = study(30, [0, 10], job20="waiting")
    assert texts(views, [0, 10]) == ["every job with lr=1 that has ended failed so, and no other"]


def test_of_very_many_jobs_only_some_are_looked_at(monkeypatch: Any) -> None:
    monkeypatch.setattr(failure_places, "MOST_TOLD_APART", 50)
    monkeypatch.setattr(failure_places, "_MOST_SAMPLED", 33)
    failed = list(range(0, 100, 10))
    assert texts(study(100, failed), failed) == ["all with lr=1"]


def test_nothing_is_read_where_nothing_failed() -> None:
    assert texts(study(100, [])) == []
