"""Jobs that train together share a task: which, how many, and what the task asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import FIT_PREDICT_RUN
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.schedulers.arrays import ArrayJobs, split_into_arrays
from seedfold.orchestrator.schedulers.task_request import memory_mib, time_limit_s
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.fusing import Fusing

MINUTE, HOUR, GB = 60, 3600, 1024**3


def job(number: int, hidden: int = 32, time_s: int = HOUR, **changed: Any) -> JobDescription:
    config = {"seed": number, "model": {"_target_": "MLP", "hidden": [hidden]}, "trainer": {}, **changed}
    name = f"{number:064d}"
    return JobDescription(name, "s", "train", {}, config, (), Resources(time_s=time_s), FIT_PREDICT_RUN, name)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Root(tmp_path / "runs").study_folder("s"))


def arrays(
    ledger: Ledger, jobs: list[JobDescription], fuse: object, most_tasks: int = 1000, **cluster: object
) -> list[ArrayJobs]:
    settings = {"fuse": {"train": fuse}, "cluster": {"executor": "slurm", **cluster}}
    fusing = Fusing(ledger, settings)
    found = list(split_into_arrays(jobs, ClusterSettings.parse(settings["cluster"]), fusing, most_tasks))  # type: ignore[arg-type]
    assert sorted(one.id for piece in found for one in piece.jobs) == sorted(one.id for one in jobs)
    return found


def tasks(found: list[ArrayJobs]) -> list[list[int]]:
    """The jobs of every task, by their numbers."""
    return [
        [int(one.id) for one in piece.jobs[start : start + piece.array.per_task]]
        for piece in found
        for start in range(0, len(piece.jobs), piece.array.per_task)
    ]


def request(piece: ArrayJobs) -> tuple[int, int]:
    """Minutes and megabytes that a task asks for."""
    scheduler = ClusterSettings.parse({"executor": "slurm"}).scheduler
    assert scheduler is not None
    return time_limit_s(piece.array, scheduler) // MINUTE, memory_mib(piece.array)


def test_a_task_has_jobs_of_one_kind_and_as_few_tasks_as_possible_are_about_equal(ledger: Ledger) -> None:
    jobs = [job(number, hidden=16 if number % 2 else 64) for number in range(14)]
    [sevens] = arrays(ledger, jobs, 7)
    assert tasks([sevens]) == [list(range(0, 14, 2)), list(range(1, 14, 2))]
    found = arrays(ledger, jobs, 4)
    assert tasks(found) == [[0, 2, 4, 6], [1, 3, 5, 7], [8, 10, 12], [9, 11, 13]]
    assert [(piece.array.per_task, piece.together) for piece in found] == [(4, 4), (3, 3)]


def test_a_task_has_time_for_its_jobs_one_by_one_and_memory_for_one_process(ledger: Ledger) -> None:
    [piece] = arrays(ledger, [job(number, time_s=10 * MINUTE) for number in range(6)], 6)
    assert request(piece) == (65, 5 * 1024)
    [piece] = arrays(ledger, [job(number, time_s=10 * MINUTE) for number in range(6)], 3, slots=2)
    assert (piece.array.per_task, piece.array.side_by_side, piece.together) == (6, 2, 3)
    assert request(piece) == (35, 9 * 1024)


def test_what_nobody_has_measured_asks_for_a_working_day_at_most(ledger: Ledger) -> None:
    for time_s, expected in ((HOUR, 8), (30 * MINUTE, 16), (MINUTE, 32), (5 * HOUR, 1)):
        found = arrays(ledger, [job(number, time_s=time_s) for number in range(64)], "auto")
        assert {piece.array.per_task for piece in found} == {expected}


def test_what_trains_alone_has_a_task_of_its_own(ledger: Ledger) -> None:
    estimator = {"_target_": "sklearn.naive_bayes.GaussianNB"}
    jobs = [*map(job, range(4)), job(4, hidden=128), job(5, model=estimator), job(6, model=estimator)]
    assert tasks(arrays(ledger, jobs, 4)) == [[0, 1, 2, 3], [5], [6], [4]]
    assert tasks(arrays(ledger, jobs[:4], "off")) == [[0], [1], [2], [3]]
    refused = [job(0, trainer={"accumulate": 2}), job(1, trainer={"accumulate": 2})]
    assert tasks(arrays(ledger, refused, 4)) == [[0], [1]]
    gpus = [replace(one, resources=Resources(gpus=1)) for one in jobs[:4]]
    assert tasks(arrays(ledger, gpus, 4)) == [[0], [1], [2], [3]]


def test_what_failed_by_the_fault_of_others_perhaps_is_tried_again_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = {
        1: {"kind": "oom_host"},
        2: {"kind": "preempted"},
        3: {"kind": "node", "digest": "signal-SIGKILL"},
        4: {"kind": "node", "digest": "NODE_FAIL"},
    }

    def record_of(name: str) -> SimpleNamespace:
        return SimpleNamespace(failures=lambda: [failures[int(name)]] if int(name) in failures else [])

    monkeypatch.setattr(ledger, "record_of", cast("Any", record_of))
    assert tasks(arrays(ledger, list(map(job, range(5))), 5)) == [[0, 2, 4], [1], [3]]


def test_jobs_per_task_counts_where_somebody_says_it(ledger: Ledger) -> None:
    jobs = [job(number, hidden=16 if number % 2 else 64) for number in range(10)]
    [piece] = arrays(ledger, jobs, 4, jobs_per_task=6)
    assert tasks([piece]) == [[0, 2, 4, 6, 8, 1], [3, 5, 7, 9]]
    assert piece.together == 4
    assert {piece.array.per_task for piece in arrays(ledger, jobs, 4, jobs_per_task=1)} == {1}


def test_a_throttled_study_trains_each_job_alone(ledger: Ledger) -> None:
    ledger.throttle.limit = 2
    assert len(tasks(arrays(ledger, list(map(job, range(4))), 4))) == 4


def test_arrays_stay_within_the_limits_of_the_site(ledger: Ledger) -> None:
    found = arrays(ledger, list(map(job, range(20))), 4, most_tasks=3)
    assert [len(piece.jobs) for piece in found] == [12, 8]
    found = arrays(ledger, list(map(job, range(20))), 4, max_submitted=6)
    assert [len(piece.jobs) for piece in found] == [8, 8, 4]
