"""Cuts jobs into arrays: by stage and resources, with as many tasks as the site's limits allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.submissions import TaskArray
from seedfold.orchestrator.schedulers.packing import PackedJobs, pack
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.fusing import Fusing

_RESERVED_FOR_KEEPERS = 2
"""Part of the limit on queued tasks that is kept free for the keepers of the running array and of the next one."""


@dataclass(frozen=True, slots=True)
class ArrayJobs:
    """The jobs of one array in the order of its tasks; so many of a task are trained ``together`` in one process."""

    jobs: tuple[JobDescription, ...]
    array: TaskArray
    together: int = 1


def split_into_arrays(
    jobs: Iterable[JobDescription], cluster: ClusterSettings, fusing: Fusing, max_array_size: int
) -> Iterator[ArrayJobs]:
    """Yield the arrays; arrays of parents come before those of their children."""
    assert cluster.scheduler is not None
    max_tasks = max_array_size
    if cluster.scheduler.max_submitted is not None:
        # Two arrays at a time: while the last tasks of one array run, the next array runs too.
        max_tasks = min(max_tasks, max(1, (cluster.scheduler.max_submitted - _RESERVED_FOR_KEEPERS) // 2))
    for group in _group_by_stage_and_resources(jobs):
        for packed in pack(group, cluster, fusing):
            array = make_array(packed, cluster)
            size = max_tasks * array.per_task
            for start in range(0, len(packed.jobs), size):
                yield ArrayJobs(packed.jobs[start : start + size], array, packed.together)


def make_array(packed: PackedJobs, cluster: ClusterSettings) -> TaskArray:
    """The array of jobs that are packed into tasks: how many of a task run at a time."""
    job, per_task = packed.jobs[0], min(packed.per_task, len(packed.jobs))
    side_by_side = cluster.slots or (cluster.most_jobs_per_gpu if job.resources.gpus else 1)
    resources = replace(job.resources, auto=()) if job.resources.auto else job.resources
    return TaskArray(job.stage, resources, per_task, min(side_by_side, per_task))


def _group_by_stage_and_resources(jobs: Iterable[JobDescription]) -> Sequence[list[JobDescription]]:
    groups: dict[tuple[str, str], list[JobDescription]] = {}
    # Jobs of a stage mostly ask for the same, so that few texts are made for many jobs.
    resource_texts: dict[int, str] = {}
    for job in jobs:
        resources = job.resources
        if id(resources) not in resource_texts:
            resource_texts[id(resources)] = canonical_json(resources.to_dict())
        groups.setdefault((job.stage, resource_texts[id(resources)]), []).append(job)
    return list(groups.values())
