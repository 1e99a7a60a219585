"""Counters of the kernel that show whether it has killed a process for lack of memory.

They do not say which process.
"""

from __future__ import annotations

from pathlib import Path


def _read_counter(file: Path) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _own_cgroup_file() -> Path:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    unified = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    return Path("/sys/fs/cgroup") / unified.lstrip("/") / "memory.events"


def count_oom_kills() -> int:
    """Number of processes killed for lack of memory so far, on this machine or in this control group."""
    return _read_counter(Path("/proc/vmstat")) + _read_counter(_own_cgroup_file())
