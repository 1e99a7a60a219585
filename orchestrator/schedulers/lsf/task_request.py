"""Requests to LSF, from the configuration: for one task of an array, or for a small job of Seedfold itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.submissions import TaskArray
from seedfold.orchestrator.schedulers.lsf.directives import JobRequest, read_memory_unit
from seedfold.orchestrator.schedulers.task_request import gpu_count, memory_mib, time_limit_s, warning_s
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.lsf import LsfSettings
from seedfold.orchestrator.settings.scheduler import SchedulerSettings

_GIB = 1024**3
_LONGEST_NAME = 100


def short_job_name(name: str) -> str:
    """A name that LSF accepts: plain characters, and not too long. Its end is kept, because it has the token."""
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-_LONGEST_NAME:]


def one_cpu_request(cluster: ClusterSettings, batch: SchedulerSettings, dialect: str) -> JobRequest:
    """A request for one CPU, with what the site requires of all jobs. Raises UsageError for options that LSF lacks."""
    lsf_settings = cluster.lsf or LsfSettings()
    if batch.qos is not None:
        raise UsageError(
            "cluster.qos: bsub has no such option; set the option that the site uses instead in cluster.options"
        )
    return JobRequest(
        name="seedfold",
        output="/dev/null",
        dialect=dialect,
        select=tuple(_host_conditions(batch)),
        rusage=() if lsf_settings.rusage is None else (lsf_settings.rusage,),
        queue=batch.partition,
        project=batch.account,
        job_group=lsf_settings.job_group,
        rerunnable=lsf_settings.rerunnable,
        memory_limit=lsf_settings.enforce_memory,
        memory_unit=read_memory_unit() if lsf_settings.memory_unit == "auto" else lsf_settings.memory_unit,
        options=batch.options,
    )


def array_request(array: TaskArray, cluster: ClusterSettings, dialect: str) -> JobRequest:
    """What one task needs. Raises UsageError for options that this LSF lacks."""
    lsf_settings, batch = (
        cluster.lsf or LsfSettings(),
        (cluster.scheduler or SchedulerSettings()).for_resources(array.resources),
    )
    batch = replace(batch, exclude=(*batch.exclude, *array.exclude))
    return replace(
        one_cpu_request(cluster, batch, dialect),
        throttle=batch.throttle,
        cpus=array.resources.cpus * array.side_by_side,
        memory_mb=memory_mib(array),
        memory_per_slot=lsf_settings.memory_per_slot,
        minutes=-(-time_limit_s(array, batch) // 60),
        warning_min=-(-warning_s(array, batch) // 60),
        gpus=gpu_count(array, cluster.most_jobs_per_gpu) if array.resources.gpus else 0,
        gpu_memory_gb=batch.gpu_memory / _GIB if batch.gpu_memory else None,
        gpu_model=batch.choose_gpu_type(),
        gpu_resource=lsf_settings.gpu_resource,
        mail=batch.mail,
    )


def _host_conditions(batch: SchedulerSettings) -> Iterator[str]:
    """Conditions on hosts. A name with characters other than letters, digits and underscores needs quotes."""
    if batch.constraint is not None:
        yield batch.constraint
    for host in batch.exclude:
        if not re.fullmatch(r"[\w.-]+", host):
            raise UsageError(f"cluster.exclude: {host!r} is not the name of a host")
        yield f"hname!={host}" if re.fullmatch(r"\w+", host) else f"hname!='{host}'"
