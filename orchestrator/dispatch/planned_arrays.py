"""The arrays of jobs that a launch would submit, for people and programs that look at a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.launch_plan import Plan, PlannedJob, group_into_arrays


def planned_arrays(plan: Plan, starting: Sequence[PlannedJob]) -> list[dict[str, Any]]:
    """Return the stage, the number of jobs and the resources of one job for each array.

    For a cluster also how its tasks are packed: ``tasks`` of ``jobs_per_task``, of which so many are
    ``trained_together`` in a process, and what a task asks for. The site's limits on arrays are not known here.
    """
    settings = plan.study.settings
    cluster = ClusterSettings.parse(settings["cluster"])
    if cluster.scheduler is None or SEARCH in settings or not starting:
        return group_into_arrays(starting)
    from seedfold.orchestrator.schedulers.arrays import split_into_arrays
    from seedfold.orchestrator.schedulers.task_request import memory_mib, time_limit_s
    from seedfold.orchestrator.state.fusing import Fusing

    jobs, fusing = [planned.job for planned in starting], Fusing(plan.ledger, settings)
    return [
        {
            "stage": piece.array.stage,
            "jobs": len(piece.jobs),
            **piece.jobs[0].resources.to_dict(),
            "tasks": -(-len(piece.jobs) // piece.array.per_task),
            "jobs_per_task": piece.array.per_task,
            "trained_together": piece.together,
            "task_cpus": piece.array.resources.cpus * piece.array.side_by_side,
            "task_memory_bytes": memory_mib(piece.array) * 1024**2,
            "task_time_s": time_limit_s(piece.array, cluster.scheduler.for_resources(piece.array.resources)),
        }
        for piece in split_into_arrays(jobs, cluster, fusing, len(jobs))
    ]
