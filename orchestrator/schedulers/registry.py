"""The backends by their names in ``cluster.executor``; only the named one is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seedfold.orchestrator.settings.cluster import ClusterSettings

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.backend import Backend


def get_backend(cluster: ClusterSettings) -> Backend | None:
    """The backend that ``cluster`` names; None for the local machine."""
    if cluster.executor == "slurm":
        from seedfold.orchestrator.schedulers.slurm.backend import Slurm

        return Slurm(cluster)
    if cluster.executor == "lsf":
        from seedfold.orchestrator.schedulers.lsf.backend import Lsf

        return Lsf(cluster)
    return None
