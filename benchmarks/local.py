"""What a job costs beside what it does: trivial jobs through ``seedfold launch``, submitit, and fresh processes.

    python benchmarks/local.py [--jobs N] [--queue N]

First 100 jobs without torch, each writing one small file: launched and waited for, against submitit's LocalExecutor
with ``map_array`` and a loop that starts a fresh Python for each. Then, with ``--queue``, a study of that many jobs in
two stages, each job of the second after one of the first: milliseconds a job in each tenth of the run. They should not
grow with the number of jobs that are still queued.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import submitit
import yaml

SEEDFOLD = Path(sys.executable).with_name("seedfold")
WORK = '''
def run(work):
    """Write one small file."""
    (work.staging / "answer.txt").write_text(str(work.config["seed"]))
'''
FRESH = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('1')"
TENTHS = 10


def write_answer(path: Path) -> None:
    """Do what the jobs do."""
    path.write_text("1")


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def write_project(folder: Path, name: str, matrix: dict[str, object]) -> None:
    """Write a package with a trivial job, and a study of it."""
    experiments = folder / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (folder / "trivial.py").write_text(WORK)
    content = {"study": name, "run": "trivial.run", **matrix}
    (experiments / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content))


def launch(folder: Path, name: str) -> None:
    """Launch a study and wait for its end."""
    command = [SEEDFOLD, "launch", "--wait", "--config-dir", "conf", f"experiment={name}"]
    environment = {**os.environ, "SEEDFOLD_ROOT": str(folder / "runs")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def map_array(folder: Path, jobs: int) -> None:
    """Have submitit's local executor do them: all at once, two Pythons each."""
    executor = submitit.LocalExecutor(folder / "submitit")
    for job in executor.map_array(write_answer, [folder / f"submitit-{number}" for number in range(jobs)]):
        job.result()


def fresh_processes(folder: Path, jobs: int) -> None:
    """Start a Python for each, one after the other, that imports next to nothing."""
    for number in range(jobs):
        subprocess.run([sys.executable, "-c", FRESH, folder / f"fresh-{number}"], check=True)


def compare(folder: Path, jobs: int) -> None:
    """Print what the contenders take."""
    write_project(folder, "few", {"matrix": {"seed": f"range(0,{jobs})"}})
    ours = seconds(lambda: launch(folder, "few"))
    print(f"{jobs} trivial jobs on {len(os.sched_getaffinity(0))} CPUs")
    print(f"  seedfold launch        {ours:7.2f} s   may take {jobs * 0.05:g} s")
    for name, peer in (("submitit map_array", map_array), ("fresh processes", fresh_processes)):
        theirs = seconds(lambda peer=peer: peer(folder, jobs))  # type: ignore[misc]
        print(f"  {name:<22} {theirs:7.2f} s   {theirs / ours:.1f} times as long")


def done_times(study: Path) -> list[float]:
    """Return when each job was done, in seconds since the epoch, in order."""
    lines = [line for file in (study / "events").iterdir() for line in file.read_text().splitlines()]
    return sorted(event["t"] for event in map(json.loads, lines) if event["e"] == "done")


def queue(folder: Path, jobs: int) -> None:
    """Print milliseconds a job in each tenth of a long run."""
    matrix = {"seed": f"range(0,{jobs // 2})"}
    stages = {"first": {"matrix": matrix}, "second": {"matrix": matrix, "after": "first"}}
    write_project(folder, "many", {"stages": stages})
    launch(folder, "many")
    times = done_times(folder / "runs" / "many")
    marks = [times[place * (len(times) - 1) // TENTHS] for place in range(TENTHS + 1)]
    costs = [1000 * (end - begin) * TENTHS / len(times) for begin, end in pairwise(marks)]
    print(f"{len(times)} jobs of two stages, milliseconds a job in each tenth of the run:")
    print("  " + " ".join(f"{cost:6.1f}" for cost in costs))


def main() -> None:
    """Compare, and watch the queue if asked to."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jobs", type=int, default=100)
    arguments.add_argument("--queue", type=int, default=0)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if given.jobs:
            compare(Path(temporary, "few"), given.jobs)
        if given.queue:
            queue(Path(temporary, "many"), given.queue)


if __name__ == "__main__":
    main()
