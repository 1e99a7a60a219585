"""What a person is told before jobs are trained together: that they cannot be, or that they are not exact then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.fusing import FIT_PREDICT_RUN, Fuse, config_refusal, fuse_settings
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.state.launch_plan import Plan


def refuse_fusing(settings: Mapping[str, Any]) -> None:
    """Raise UsageError if a study trains jobs together: they agree with jobs alone up to a tolerance."""
    stages = ", ".join(fuse_settings(settings))
    if stages:
        raise UsageError(
            f"--exact: jobs of stage {stages} are trained together, and their last bits are not those of jobs alone;"
            " add fuse=off, or leave --exact out"
        )


def fuse_notes(plan: Plan) -> Iterator[str]:
    """Yield a line for each stage whose jobs are to be trained together and cannot be, or are not on this cluster."""
    cluster = ClusterSettings.parse(plan.study.settings["cluster"])
    for stage, fuse in fuse_settings(plan.study.settings).items():
        jobs = [job for job in plan.descriptions if job.stage == stage]
        reason = _refusal(jobs) or _refusal_of_cluster(jobs, fuse, cluster)
        if reason:
            yield f"stage {stage}: fuse changes nothing, because {reason}"


def _refusal(jobs: Sequence[JobDescription]) -> str | None:
    """Why no job of a stage is trained together with others, as far as configurations say."""
    first = None
    for job in jobs:
        if job.run != FIT_PREDICT_RUN:
            reason: str | None = f"{job.run} trains one job at a time"
        else:
            reason = "its jobs ask for a GPU" if job.resources.gpus else config_refusal(job.config)
        if reason is None:
            return None
        first = first or reason
    return first


def _refusal_of_cluster(jobs: Sequence[JobDescription], fuse: Fuse, cluster: ClusterSettings) -> str | None:
    """Why each job has a task of its own, although it might share one."""
    if cluster.scheduler is None:
        return None
    if cluster.scheduler.jobs_per_task == 1:
        return "cluster.jobs_per_task=1 gives each job a task of its own"
    from seedfold.orchestrator.schedulers.packing import LONGEST_MEASURED_S, most_of_process

    if cluster.scheduler.jobs_per_task is None and jobs and all(most_of_process(fuse, job) == 1 for job in jobs):
        hours = LONGEST_MEASURED_S // 3600
        return f"two jobs ask for more than {hours} h, and auto gives each a task of its own then; fuse=2 does not"
    return None
