"""What GPUs say of themselves, asked of NVML: memory, the processes that use it, and how busy the GPU is.

The package ``nvidia-ml-py`` is optional. It is imported when somebody asks, because most workers have no GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One look at a GPU. ``used_bytes`` is the memory that all processes take, ``bytes_of_process`` of each by its id.

    ``percent`` says for how much of the last moment the GPU computed; None where it does not say.
    """

    total_bytes: int
    used_bytes: int
    percent: float | None
    bytes_of_process: Mapping[int, int] = field(default_factory=dict)

    def bytes_of_session(self, leader: int) -> int:
        """Return the memory of all processes of a session; a job leads one of its own."""
        return sum(size for process, size in self.bytes_of_process.items() if _session_of(process) == leader)


class GpuReader(Protocol):
    """Something that reads GPUs."""

    def why_not(self) -> str | None:
        """Why no GPU can be read, in words; None if GPUs can be read."""

    def read(self, gpu: str) -> GpuReading | None:
        """Look at a GPU, by its number or UUID; None if it cannot be read now."""


class Nvml:
    """NVML, loaded at the first question."""

    def __init__(self) -> None:
        self._library: Any = None
        self._reason: str | None = None

    def why_not(self) -> str | None:
        """See `GpuReader.why_not`."""
        self._load()
        return self._reason

    def read(self, gpu: str) -> GpuReading | None:
        """See `GpuReader.read`."""
        nvml = self._load()
        if nvml is None:
            return None
        try:
            handle = self._handle(gpu)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            processes = self._processes(handle)
        except nvml.NVMLError:
            return None
        return GpuReading(int(memory.total), int(memory.used), self._percent(handle), processes)

    def percents(self, gpus: Iterable[str]) -> list[int]:
        """Return how busy these GPUs are; empty where NVML is not installed or does not say."""
        nvml = self._load() if gpus else None
        if nvml is None:
            return []
        try:
            return [int(nvml.nvmlDeviceGetUtilizationRates(self._handle(gpu)).gpu) for gpu in gpus]
        except nvml.NVMLError:
            return []

    def _processes(self, handle: Any) -> dict[int, int]:
        """Memory by process; those that compute through MPS are listed apart."""
        nvml, sizes = self._library, dict[int, int]()
        for name in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses"):
            with suppress(nvml.NVMLError, AttributeError):
                for process in getattr(nvml, name)(handle):
                    # A driver that may not say how much it is says None.
                    sizes[process.pid] = max(sizes.get(process.pid, 0), process.usedGpuMemory or 0)
        return sizes

    def _percent(self, handle: Any) -> float | None:
        try:
            return float(self._library.nvmlDeviceGetUtilizationRates(handle).gpu)
        except self._library.NVMLError:
            return None

    def _handle(self, gpu: str) -> Any:
        """NVML's handle of a GPU, which is a number or, where the site sets them so, a UUID such as ``GPU-8f2d…``."""
        nvml = self._library
        return nvml.nvmlDeviceGetHandleByIndex(int(gpu)) if gpu.isdecimal() else nvml.nvmlDeviceGetHandleByUUID(gpu)

    def _load(self) -> Any:
        if self._library is None and self._reason is None:
            try:
                nvml = import_module("pynvml")
            except ImportError:
                self._reason = "nvidia-ml-py is not installed"
                return None
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                self._reason = f"NVML cannot be used: {error}"
                return None
            self._library = nvml
        return self._library


def _session_of(process: int) -> int | None:
    try:
        return os.getsid(process)
    except OSError:
        return None
