"""The schedulers by the names that ``cluster.executor`` has for them; the one that is named is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seedfold.orchestrator.settings.cluster import ClusterSettings

if TYPE_CHECKING:
    from seedfold.orchestrator.schedulers.backend import Backend


def get_backend(cluster: ClusterSettings) -> Backend | None:
    """The scheduler that ``cluster`` names; None for the local machine."""
    if cluster.executor == "slurm":
        from seedfold.orchestrator.schedulers.slurm.backend import Slurm

        return Slurm(cluster)
    if cluster.executor == "lsf":
        from seedfold.orchestrator.schedulers.lsf.backend import Lsf

        return Lsf(cluster)
    return None
