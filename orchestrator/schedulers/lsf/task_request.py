"""What jobs ask of LSF, from the configuration: one task of an array, or a small job of Seedfold's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.submissions import Array
from seedfold.orchestrator.schedulers.lsf.directives import Request, site_memory_unit
from seedfold.orchestrator.schedulers.task_request import gpu_count, memory_mib, time_limit_s, warning_s
from seedfold.orchestrator.settings.cluster import Cluster
from seedfold.orchestrator.settings.lsf import LsfSettings
from seedfold.orchestrator.settings.scheduler import Batch

_GIB = 1024**3
_LONGEST_NAME = 100


def short(name: str) -> str:
    """A name as LSF takes it, of plain characters, and not too long: its end, which has the token, is what tells."""
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-_LONGEST_NAME:]


def small_request(cluster: Cluster, batch: Batch, dialect: str) -> Request:
    """A request for one CPU, with what the site wants of all jobs. Raises UsageError for what LSF does not have."""
    own = cluster.lsf or LsfSettings()
    if batch.qos is not None:
        raise UsageError("cluster.qos: bsub has no such option; write what the site has instead in cluster.options")
    return Request(
        name="seedfold",
        output="/dev/null",
        dialect=dialect,
        select=tuple(_select(batch)),
        rusage=() if own.rusage is None else (own.rusage,),
        queue=batch.partition,
        project=batch.account,
        group=own.job_group,
        rerunnable=own.rerunnable,
        memory_limit=own.enforce_memory,
        memory_unit=site_memory_unit() if own.memory_unit == "auto" else own.memory_unit,
        options=batch.options,
    )


def array_request(array: Array, cluster: Cluster, dialect: str) -> Request:
    """What one task needs. Raises UsageError for what this LSF does not have."""
    own, batch = cluster.lsf or LsfSettings(), (cluster.batch or Batch()).for_resources(array.resources)
    batch = replace(batch, exclude=(*batch.exclude, *array.exclude))
    return replace(
        small_request(cluster, batch, dialect),
        throttle=batch.throttle,
        cpus=array.resources.cpus * array.side_by_side,
        memory_mb=memory_mib(array),
        memory_per_slot=own.memory_per_slot,
        minutes=-(-time_limit_s(array, batch) // 60),
        warning_min=-(-warning_s(array, batch) // 60),
        gpus=gpu_count(array, cluster.jobs_per_gpu) if array.resources.gpus else 0,
        gpu_memory_gb=batch.gpu_memory / _GIB if batch.gpu_memory else None,
        gpu_model=batch.gpu_type(),
        gpu_resource=own.gpu_resource,
        mail=batch.mail,
    )


def _select(batch: Batch) -> Iterator[str]:
    """Conditions on hosts. A name with other characters than words have needs quotes."""
    if batch.constraint is not None:
        yield batch.constraint
    for host in batch.exclude:
        if not re.fullmatch(r"[\w.-]+", host):
            raise UsageError(f"cluster.exclude: {host!r} is no name of a host")
        yield f"hname!={host}" if re.fullmatch(r"\w+", host) else f"hname!='{host}'"
