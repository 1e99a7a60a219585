"""Which jobs a worker starts in one process: those with one key, but none that has to be tried alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import FIT_PREDICT_RUN
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.job_states import JobStates
from seedfold.orchestrator.worker.job_groups import JobGroups
from seedfold.orchestrator.worker.job_queue import JobQueue
from seedfold.orchestrator.worker.slots import Machine, OwnLocks


def job(number: int) -> JobDescription:
    name = f"{number:064d}"
    return JobDescription(name, "s", "train", {}, {"seed": number}, (), Resources(), FIT_PREDICT_RUN, name)


class Queue:
    """Jobs that are all ready, in their order."""

    def __init__(self, *jobs: JobDescription) -> None:
        self.jobs = jobs

    def ready_mates(
        self, one: JobDescription, key: Any, running: object, fits: object, most: int
    ) -> list[JobDescription]:
        return [other for other in self.jobs if other.id != one.id and key(other) == key(one)][:most]


def groups(failed: dict[str, str], limit: int | None = None) -> JobGroups:
    def record_of(name: str) -> SimpleNamespace:
        return SimpleNamespace(failures=lambda: [{"kind": failed[name]}] if name in failed else [])

    header = SimpleNamespace(settings={"fuse": {"train": 4}})
    ledger = SimpleNamespace(
        plans=SimpleNamespace(header=header), throttle=SimpleNamespace(limit=limit), record_of=record_of
    )
    machine = Machine(ClusterSettings.parse({"slots": 1}), [], Path(), 1, OwnLocks())
    return JobGroups(cast("JobStates", SimpleNamespace(ledger=ledger)), machine)


def numbers(jobs: list[JobDescription]) -> list[int]:
    return [int(one.id) for one in jobs]


def test_a_job_that_is_to_go_on_alone_is_no_mate_of_others() -> None:
    jobs = list(map(job, range(6)))
    found, queue = groups({}), cast("JobQueue", Queue(*jobs))
    assert numbers(found.mates_of(jobs[0], queue, {})) == [1, 2, 3]
    found.start_alone(jobs[1], -9)
    assert numbers(found.mates_of(jobs[0], queue, {})) == [2, 3, 4]
    assert found.mates_of(jobs[1], queue, {}) == []


def test_a_job_that_failed_perhaps_by_the_fault_of_others_starts_alone_in_every_worker() -> None:
    jobs = list(map(job, range(6)))
    failed = {jobs[1].id: "oom_host", jobs[2].id: "preempted", jobs[3].id: "timeout"}
    found, queue = groups(failed), cast("JobQueue", Queue(*jobs))
    assert numbers(found.mates_of(jobs[0], queue, {})) == [2, 4, 5]
    assert found.mates_of(jobs[3], queue, {}) == []
    assert groups(failed, limit=1).mates_of(jobs[0], queue, {}) == []
