"""Packs jobs of one stage and of equal resources into tasks, so that those that train together share a task.

A task has jobs that can all be trained together, as many as ``fuse`` says for each of its slots, unless
``cluster.jobs_per_task`` says how many. Its time is enough for all of them one after the other: if they cannot be
trained together after all, each trains alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seedfold.jobs.description import JobDescription
from seedfold.jobs.fusing import Fuse, FuseKeys, config_refusal
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.fusing import Fusing

LONGEST_MEASURED_S = 8 * 3600
"""The most time that the jobs of one process ask for with ``fuse: auto``: nobody knows yet whether it trains them
together, and else they run one after the other in one task, and not at the same time in many."""


@dataclass(frozen=True, slots=True)
class PackedJobs:
    """Jobs in the order of their tasks: ``per_task`` in each, of which so many are trained ``together`` in a process.

    These are one where each job trains alone.
    """

    jobs: tuple[JobDescription, ...]
    per_task: int
    together: int = 1


def pack(jobs: Sequence[JobDescription], cluster: ClusterSettings, fusing: Fusing) -> Iterator[PackedJobs]:
    """Yield jobs of one stage and of equal resources, packed into tasks; the largest tasks come first."""
    assert cluster.scheduler is not None
    per_task, slots = cluster.scheduler.jobs_per_task, cluster.slots or 1
    fuse = fusing.fuse_of(jobs[0])
    if fuse is None or per_task == 1 or fusing.refusal(jobs[0]) is not None:
        yield PackedJobs(tuple(jobs), per_task or 1)
        return
    groups, alone = _group(jobs, fusing)
    if per_task is not None:
        ordered = [*(job for group in groups for job in group), *alone]
        largest = max(map(len, groups), default=1)
        yield PackedJobs(tuple(ordered), per_task, min(fuse.most, largest, -(-per_task // slots)))
        return
    tasks_of_size: defaultdict[int, list[JobDescription]] = defaultdict(list)
    tasks_of_size[1] = alone
    for group in groups:
        for task in _share(group, most_of_process(fuse, jobs[0]) * slots):
            tasks_of_size[len(task)].extend(task)
    for size in sorted(tasks_of_size, reverse=True):
        if tasks_of_size[size]:
            yield PackedJobs(tuple(tasks_of_size[size]), size, -(-size // slots))


def most_of_process(fuse: Fuse, job: JobDescription) -> int:
    """How many jobs like this one are put into one process."""
    return min(fuse.most, max(1, LONGEST_MEASURED_S // job.resources.time_s)) if fuse.measured else fuse.most


def _group(jobs: Sequence[JobDescription], fusing: Fusing) -> tuple[list[list[JobDescription]], list[JobDescription]]:
    """The jobs that can be trained together, group by group, and those of which it is known that they train alone."""
    keys, groups, alone = FuseKeys(), defaultdict[str, list[JobDescription]](list), list[JobDescription]()
    for job in jobs:
        (alone if fusing.has_failed(job) else groups[keys.of(job)]).append(job)
    for key, group in list(groups.items()):
        # What decides it is the same for all jobs of a group.
        if config_refusal(group[0].config) is not None:
            alone += groups.pop(key)
    return list(groups.values()), alone


def _share(jobs: Sequence[JobDescription], most: int) -> Iterator[Sequence[JobDescription]]:
    """Yield the jobs of each task: as few tasks as possible, of sizes that differ by one at most."""
    count = -(-len(jobs) // most)
    smaller, larger_count = divmod(len(jobs), count)
    start = 0
    for number in range(count):
        size = smaller + (number < larger_count)
        yield jobs[start : start + size]
        start += size
