"""What a job costs beside what it does: trivial jobs through ``seedfold launch``, submitit, and fresh processes.

First jobs without torch, each writing one small file: launched and waited for, against submitit's LocalExecutor with
``map_array`` and a loop that starts a fresh Python for each. Then a study in two stages, each job of the second after
one of the first: what a job takes in the last tenth of the run should not be more than in the first. The same run says
how many files a job leaves, and how the worker's memory and its open files grow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import submitit

from benchmarks._figures import Figure, main, seconds
from benchmarks._projects import launch, write_study
from seedfold.orchestrator.worker.template import TEMPLATE_NAME

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


class WorkerUse(NamedTuple):
    """What the worker holds at one moment: memory in bytes, and open files."""

    memory: int
    open_files: int


class WorkerWatch(threading.Thread):
    """Looks, until it is told to stop, what the worker of a project holds."""

    def __init__(self, project: Path) -> None:
        super().__init__(daemon=True)
        self._root = f"SEEDFOLD_ROOT={project / 'runs'}".encode()
        self._ends = threading.Event()
        self.seen: list[WorkerUse] = []

    def run(self) -> None:
        while not self._ends.wait(0.2):
            self.seen += filter(None, map(self._use_of, Path("/proc").glob("[0-9]*")))

    def _use_of(self, process: Path) -> WorkerUse | None:
        """Return what the parent of a template holds, which is the worker; jobs are children of the template."""
        try:
            if not self._is_ours(process, is_template=True):
                return None
            parent = Path("/proc", (process / "stat").read_text().rpartition(")")[2].split()[1])
            if self._is_ours(parent, is_template=False):
                pages = int((parent / "statm").read_text().split()[1])
                return WorkerUse(pages * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in (parent / "fd").iterdir()))
        except OSError:  # It has ended, or is another user's.
            pass
        return None

    def _is_ours(self, process: Path, is_template: bool) -> bool:
        has_name = (process / "comm").read_text().strip() == TEMPLATE_NAME
        return has_name is is_template and self._root in (process / "environ").read_bytes()

    def stop(self) -> list[WorkerUse]:
        """Return what was seen."""
        self._ends.set()
        self.join()
        return self.seen


def long_queue(folder: Path, jobs: int) -> list[Figure]:
    """Compare seconds a job, and what the worker holds, in the first tenth and in the last tenth of a long run."""
    matrix = {"seed": f"range(0,{jobs // 2})"}
    stages = {"first": {"matrix": matrix}, "second": {"matrix": matrix, "after": "first"}}
    write_study(folder, "many", {"run": "trivial.run", "stages": stages})
    watch = WorkerWatch(folder)
    watch.start()
    launch(folder, "many")
    seen = watch.stop()
    lines = [line for file in folder.glob("runs/many/events/*.jsonl") for line in file.read_text().splitlines()]
    times = sorted(event["t"] for event in map(json.loads, lines) if event["e"] == "done")
    tenth = len(times) // 10
    first, last = (times[tenth] - times[0]) / tenth, (times[-1] - times[-1 - tenth]) / tenth
    left = sum(path.is_file() for name in ("claims", "jobs", "store") for path in folder.glob(f"runs/many/{name}/**/*"))
    name = f"a job of {jobs:,}"
    return [
        Figure(f"{name}, last tenth", last, first, "Seedfold, first tenth", most=0.03),
        Figure(f"{name}: files, with its own", left / jobs, unit="files", most=3),
        *(worker_figures(seen) if seen else ()),
    ]


def worker_figures(seen: Sequence[WorkerUse]) -> list[Figure]:
    """Compare the most that the worker held in the last tenth of the time with the most in the first."""
    tenth = len(seen) // 10 + 1
    memory, files = ((float(max(values[-tenth:])), float(max(values[:tenth]))) for values in zip(*seen, strict=True))
    return [
        Figure("memory of the worker, last tenth", *memory, "first tenth", unit="B", most_of_peer=1.1),
        Figure("open files of the worker, last tenth", *files, "first tenth", unit="files", most_of_peer=1.1),
    ]


def measure(quick: bool) -> list[Figure]:
    """Compare, and watch a queue."""
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary, "few"), Path(temporary, "many")
        return [*few_jobs(few, 5 if quick else 100), *long_queue(many, 100 if quick else 5_000)]


if __name__ == "__main__":
    main(measure)
