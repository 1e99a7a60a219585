"""What a person is told before jobs are trained together: that they cannot be, or that they are not exact then."""

from __future__ import annotations

from collections import Counter
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
    """Yield why jobs that are to be trained together cannot be, or are not on this cluster: a line for each reason."""
    cluster = ClusterSettings.parse(plan.study.settings["cluster"])
    for stage, fuse in fuse_settings(plan.study.settings).items():
        jobs = [job for job in plan.descriptions if job.stage == stage]
        reasons = Counter(reason for job in jobs if (reason := _refusal(job)) is not None)
        of_cluster = None if reasons.total() == len(jobs) else _refusal_of_cluster(jobs, fuse, cluster)
        if of_cluster is not None:
            yield f"stage {stage}: fuse changes nothing, because {of_cluster}"
            continue
        for reason, count in reasons.items():
            what = "fuse changes nothing" if count == len(jobs) else f"{count} of {len(jobs)} jobs train alone"
            yield f"stage {stage}: {what}, because {reason}"


def _refusal(job: JobDescription) -> str | None:
    """Why a job cannot be trained together with others, as far as its description says."""
    if job.run != FIT_PREDICT_RUN:
        return f"{job.run} trains one job at a time"
    if job.resources.gpus:
        return "only networks on a CPU train together (resources.gpus)"
    return config_refusal(job.config)


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
