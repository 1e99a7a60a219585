"""Cutting jobs into arrays: by stage and resources, of tasks that a site's limits allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.submissions import Array
from seedfold.orchestrator.settings.cluster import Cluster

_PLACES_KEPT = 2
"""Of a limit on what is queued: for the keepers of the array that runs and of the one that follows."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The jobs of one array, in the order of its tasks, and the stages of their parents."""

    jobs: tuple[JobDescription, ...]
    array: Array


def cut(jobs: Iterable[JobDescription], cluster: Cluster, largest_array: int) -> Iterator[Cut]:
    """Yield arrays, those of parents before those of their children."""
    assert cluster.batch is not None
    most = largest_array
    if cluster.batch.max_submitted is not None:
        # Two arrays at a time: one runs out while the next one runs.
        most = min(most, max(1, (cluster.batch.max_submitted - _PLACES_KEPT) // 2))
    for group in _grouped(jobs):
        array = array_of(group[0], len(group), cluster)
        size = most * array.per_task
        for start in range(0, len(group), size):
            yield Cut(tuple(group[start : start + size]), array)


def array_of(job: JobDescription, count: int, cluster: Cluster) -> Array:
    """How ``count`` jobs like this one are packed into tasks."""
    assert cluster.batch is not None
    per_task = min(cluster.batch.jobs_per_task, count)
    together = cluster.slots or (cluster.jobs_per_gpu if job.resources.gpus else 1)
    return Array(job.stage, job.resources, per_task, min(together, per_task))


def _grouped(jobs: Iterable[JobDescription]) -> Sequence[list[JobDescription]]:
    groups: dict[tuple[str, str], list[JobDescription]] = {}
    # Jobs of a stage share what they ask for, so that few texts are made for many jobs.
    asked: dict[int, str] = {}
    for job in jobs:
        resources = job.resources
        if id(resources) not in asked:
            asked[id(resources)] = canonical_json(resources.to_dict())
        groups.setdefault((job.stage, asked[id(resources)]), []).append(job)
    return list(groups.values())
