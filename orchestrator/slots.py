"""Places for jobs on this machine. They belong to machine and user: the workers of all studies share them.

A slot is a lock file under the machine's temporary folder, held with flock while a job runs; the kernel frees it when
its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.resources import Resources
from seedfold.orchestrator.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver shows it. ``free_bytes`` of its memory are unused."""

    index: str
    free_bytes: int


def visible_gpus() -> list[Gpu]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES allows; none where there is no driver."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (FileNotFoundError, subprocess.SubprocessError):
        return []
    rows = [[field.strip() for field in line.split(",")] for line in listed.splitlines() if line.strip()]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if allowed is None else [name.strip() for name in allowed.split(",")]
    return [
        Gpu(index, int(free) * 1024**2)
        for index, uuid, free in rows
        if names is None or index in names or uuid in names
    ]


@dataclass(slots=True)
class Slot:
    """A place that this process holds until `release`."""

    handles: list[int]
    gpus: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """What a job in this slot sees of the machine's GPUs: its own, or none."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}

    def release(self) -> None:
        """Give the place back."""
        for handle in self.handles:
            os.close(handle)
        self.handles.clear()


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"seedfold-{os.getuid()}" / "slots"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _try_lock(name: str) -> int | None:
    handle = os.open(_folder() / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _lock_some(names: Sequence[str], count: int) -> list[tuple[str, int]] | None:
    """Lock ``count`` of the names, or none."""
    held: list[tuple[str, int]] = []
    for name in names:
        if len(held) == count:
            break
        handle = _try_lock(name)
        if handle is not None:
            held.append((name, handle))
    if len(held) == count:
        return held
    for _, handle in held:
        os.close(handle)
    return None


class Machine:
    """What this machine offers, as ``cluster`` configures it: CPU places, and ``jobs_per_gpu`` places on each GPU."""

    def __init__(self, cluster: Cluster, gpus: Sequence[Gpu] | None = None) -> None:
        self.cpus = len(os.sched_getaffinity(0))
        self.gpus = list(visible_gpus() if gpus is None else gpus)
        self.most_jobs = cluster.slots
        self._per_gpu = cluster.jobs_per_gpu
        self._least_free = cluster.min_free_gpu_memory or 0

    def lacks(self, resources: Resources) -> str | None:
        """What a job asks for that this machine can never give; None if it can."""
        if resources.gpus > len(self.gpus):
            return f"asks for {resources.gpus} GPUs; this machine has {len(self.gpus)}"
        return None

    def acquire(self, resources: Resources, running: int) -> Slot | None:
        """Take a place for a job beside ``running`` others of this worker; None if all are taken.

        A job that asks for more CPUs than there are takes them all.
        """
        if self.most_jobs is not None and running >= self.most_jobs:
            return None
        if resources.gpus:
            return self._acquire_gpus(resources.gpus)
        return self._acquire_cpus(resources.cpus)

    def _acquire_cpus(self, count: int) -> Slot | None:
        places = max(self.cpus, self.most_jobs or 0)
        held = _lock_some([f"cpu-{index}" for index in range(places)], min(count, places))
        return None if held is None else Slot([handle for _, handle in held], ())

    def _acquire_gpus(self, count: int) -> Slot | None:
        free = [gpu.index for gpu in self._with_free_memory()]
        names = [f"gpu-{index}.{place}" for place in range(self._per_gpu) for index in free]
        held = _lock_some(names, count)
        if held is None:
            return None
        indices = tuple(name.removeprefix("gpu-").split(".")[0] for name, _ in held)
        slot = Slot([handle for _, handle in held], indices)
        if len(set(indices)) < count:
            slot.release()
            return None
        return slot

    def _with_free_memory(self) -> list[Gpu]:
        if not self._least_free:
            return self.gpus
        known = {gpu.index for gpu in self.gpus}
        return [gpu for gpu in visible_gpus() if gpu.index in known and gpu.free_bytes >= self._least_free]
