"""What a job costs beside what it does: trivial jobs through ``seedfold launch``, submitit, and fresh processes.

First jobs without torch, each writing one small file: launched and waited for, against submitit's LocalExecutor with
``map_array`` and a loop that starts a fresh Python for each. Then a study in two stages, each job of the second after
one of the first: what a job takes in the last tenth of the run should not be more than in the first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import submitit

from benchmarks._figures import Figure, main, seconds
from benchmarks._projects import launch, write_study

FRESH = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('1')"


def write_answer(path: Path) -> None:
    """Do what the jobs do."""
    path.write_text("1")


def map_array(folder: Path, jobs: int) -> None:
    """Have submitit's local executor do them: all at once, two Pythons each."""
    executor = submitit.LocalExecutor(folder / "submitit")
    for job in executor.map_array(write_answer, [folder / f"submitit-{number}" for number in range(jobs)]):
        job.result()


def fresh_processes(folder: Path, jobs: int) -> None:
    """Start a Python for each, one after the other, that imports next to nothing."""
    for number in range(jobs):
        subprocess.run([sys.executable, "-c", FRESH, folder / f"fresh-{number}"], check=True)


def few_jobs(folder: Path, jobs: int) -> list[Figure]:
    """Compare what the contenders take."""
    write_study(folder, "few", {"run": "trivial.run", "matrix": {"seed": f"range(0,{jobs})"}})
    ours = seconds(lambda: launch(folder, "few"))
    array, fresh = seconds(lambda: map_array(folder, jobs)), seconds(lambda: fresh_processes(folder, jobs))
    name = f"{jobs} trivial jobs"
    return [
        Figure(name, ours, array, "submitit local, map_array", most=5),
        Figure(name, ours, fresh, "a fresh Python for each"),
    ]


def long_queue(folder: Path, jobs: int) -> Figure:
    """Compare seconds a job in the first tenth and in the last tenth of a long run."""
    matrix = {"seed": f"range(0,{jobs // 2})"}
    stages = {"first": {"matrix": matrix}, "second": {"matrix": matrix, "after": "first"}}
    write_study(folder, "many", {"run": "trivial.run", "stages": stages})
    launch(folder, "many")
    lines = [line for file in folder.glob("runs/many/events/*.jsonl") for line in file.read_text().splitlines()]
    times = sorted(event["t"] for event in map(json.loads, lines) if event["e"] == "done")
    tenth = len(times) // 10
    first, last = (times[tenth] - times[0]) / tenth, (times[-1] - times[-1 - tenth]) / tenth
    return Figure(f"a job of {jobs:,}, last tenth", last, first, "Seedfold, first tenth")


def measure(quick: bool) -> list[Figure]:
    """Compare, and watch a queue."""
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary, "few"), Path(temporary, "many")
        return [*few_jobs(few, 5 if quick else 100), long_queue(many, 100 if quick else 2_000)]


if __name__ == "__main__":
    main(measure)
