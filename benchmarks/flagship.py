"""Cost of planning the largest study: every job of ``prevalence_shifts`` described, against composing with Hydra.

All are seconds of processor time. Hydra composes one of the jobs a few times; the peer's figure is that for all jobs.
The second figure is that of a job, without the start of Python and without writing it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks._figures import Figure, main, seconds
from benchmarks._projects import SEEDFOLD

STUDY = "experiment=prevalence_shifts"
JOB = (STUDY, "task=mura_xr_hand", "seed=10")
SAMPLE = 5


def children() -> float:
    """Return the processor time of ended child processes."""
    times = os.times()
    return times.children_user + times.children_system


def plan(jobs: Path, *overrides: str) -> None:
    """Describe every job of the study in a fresh process."""
    command: list[str | Path] = [SEEDFOLD, "plan", STUDY, *overrides, "--jobs", jobs, "--root", jobs.parent / "runs"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(quick: bool) -> list[Figure]:
    """Plan the study, or one task of it."""
    from hydra import compose, initialize_config_module

    from seedfold.jobs.study import load_study

    overrides = ("task=mura_xr_hand",) if quick else ()
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs.jsonl"
        planned = seconds(lambda: plan(jobs, *overrides), children)
        count = len(jobs.read_text().splitlines())
    expanded = seconds(lambda: list(load_study([STUDY, *overrides]).jobs()), time.process_time)
    with initialize_config_module("seedfold.conf", version_base="1.3"):
        compose("config", list(JOB))
        peer = seconds(lambda: [compose("config", list(JOB)) for _ in range(SAMPLE)], time.process_time) / SAMPLE
    name = f"CPU: plan {count:,} jobs of prevalence_shifts"
    return [
        Figure(name, planned, peer * count, "hydra.compose of each", most=1.5),
        Figure("CPU: a job of them", expanded / count, peer, "hydra.compose", most=0.0005),
    ]


if __name__ == "__main__":
    main(measure)
