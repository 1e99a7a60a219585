"""What a job has used: memory and GPU memory, told by the job itself, and what its worker saw of it meanwhile.

The memory of a job is the sum over its processes of their resident pages, shared ones included: schedulers judge jobs
by the same sum. The job itself knows the peaks of its own process and of the largest process that it has waited for.
Only its worker sees the processes that run side by side, every few seconds.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from seedfold.orchestrator.worker.nvml import Nvml

if TYPE_CHECKING:
    from seedfold.orchestrator.worker.running_attempt import RunningAttempt

SAMPLE_S = 5.0
"""Seconds between two looks of a worker at what its jobs use."""


def measure_own_use() -> dict[str, int]:
    """Return what this process has used so far, in bytes: ``memory_bytes``, and the GPU's if it has used CUDA.

    ``gpu_memory_bytes`` is the peak of what torch has allocated on the GPU that is used most, ``gpu_total_bytes`` the
    memory of that GPU.
    """
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = {"memory_bytes": sum(resource.getrusage(one).ru_maxrss for one in who) * 1024}
    torch = sys.modules.get("torch")
    # Any other question would initialise CUDA in a job that does without it.
    if torch is not None and torch.cuda.is_initialized():
        # A device that has failed says nothing more, and its job may have its result all the same.
        with suppress(RuntimeError):
            peaks = [torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())]
            fullest = peaks.index(max(peaks))
            total = torch.cuda.get_device_properties(fullest).total_memory
            used |= {"gpu_memory_bytes": peaks[fullest], "gpu_total_bytes": total}
    return used


class UseSampler:
    """Looks every few seconds at what running attempts use, and keeps that with each of them."""

    def __init__(self, nvml: Nvml | None = None) -> None:
        self._last = -inf
        self._nvml = nvml or Nvml()

    def sample(self, running: Iterable[RunningAttempt]) -> None:
        """Look, if it is time to."""
        if time.monotonic() - self._last < SAMPLE_S:
            return
        self._last = time.monotonic()
        for one in running:
            if one.pid is not None:
                one.peak_bytes = max(one.peak_bytes, tree_memory(one.pid))
                one.gpu_percents += self._nvml.percents(one.slot.gpus)


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and of those below it; 0 if it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for one in tree:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += one.memory_info().rss
    return total


def seen_by_worker(running: RunningAttempt, exit_peak: int) -> dict[str, float]:
    """Return what the worker knows of the use of an attempt that has ended, for `merge_use`."""
    used: dict[str, float] = {"memory_bytes": max(running.peak_bytes, exit_peak)}
    if running.gpu_percents:
        used["gpu_percent"] = round(sum(running.gpu_percents) / len(running.gpu_percents), 1)
    return used


def merge_use(told: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    """Put together what a job told and what its worker saw: of the memory the larger number counts."""
    return {**told, **seen, "memory_bytes": max(told.get("memory_bytes", 0), seen.get("memory_bytes", 0))}
