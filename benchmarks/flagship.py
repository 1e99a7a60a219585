"""Cost of planning the largest study: every job of ``prevalence_shifts`` described, against composing with Hydra.

Prints, from one run: CPU seconds of ``seedfold plan --jobs``, and how many calls of Hydra's ``compose`` for one of its
jobs take as long. Run it with ``python benchmarks/flagship.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

STUDY = "experiment=prevalence_shifts"
JOB = (STUDY, "task=mura_xr_hand", "seed=10")
SAMPLE = 5


def cpu_seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return how much processor time ``work`` takes."""
    start = clock()
    work()
    return clock() - start


def children() -> float:
    """Return the processor time of ended child processes."""
    times = os.times()
    return times.children_user + times.children_system


def plan(jobs: Path) -> None:
    """Describe every job of the study in a fresh process."""
    command = [sys.executable, "-m", "seedfold.orchestrator.cli", "plan", STUDY, "--jobs", str(jobs)]
    subprocess.run([*command, "--root", str(jobs.parent / "runs")], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    from hydra import compose, initialize_config_module

    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs.jsonl"
        planned = cpu_seconds(lambda: plan(jobs), children)
        count = len(jobs.read_text().splitlines())
    with initialize_config_module("seedfold.conf", version_base="1.3"):
        compose("config", list(JOB))
        peer = cpu_seconds(lambda: [compose("config", list(JOB)) for _ in range(SAMPLE)]) / SAMPLE
    print(f"{count} jobs planned in {planned:.1f} s of CPU, {planned / count * 1e3:.2f} ms a job")
    print(f"hydra.compose {peer * 1e3:.0f} ms: {planned / peer:.0f} of its calls, and {count} would be needed")


if __name__ == "__main__":
    main()
