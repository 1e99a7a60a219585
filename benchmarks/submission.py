"""From the command to everything queued on SLURM: seconds and files, against submitit and Hydra's submitit launcher.

    python benchmarks/submission.py [--jobs N] [--hydra-jobs N]

Needs a SLURM that answers and takes arrays of N tasks; jobs are submitted on hold, and cancelled afterwards. Hydra's
launcher is measured with fewer jobs and compared per job; it is left out where it is not installed. Every peer starts
from a fresh Python, as from a shell.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SEEDFOLD = Path(sys.executable).with_name("seedfold")
STUDY = """# @package _global_
study: many
run: trivial.run
matrix: {{seed: "range(0,{jobs})"}}
"""
SUBMITIT = """
import sys, submitit

def answer(seed):
    return seed

executor = submitit.SlurmExecutor(folder="logs")
executor.update_parameters(time=5, job_name="peer", additional_parameters={"hold": True})
executor.map_array(answer, range(int(sys.argv[1])))
"""
HYDRA = """
import hydra

@hydra.main(version_base="1.3", config_path=None, config_name=None)
def answer(config):
    return None

if __name__ == "__main__":
    answer()
"""
HYDRA_OPTIONS = [
    "-m",
    "hydra/launcher=submitit_slurm",
    "hydra.launcher.name=peer",
    "+hydra.launcher.additional_parameters={hold:true}",
]


@dataclass(frozen=True)
class Cost:
    """What it took to have ``jobs`` queued."""

    name: str
    jobs: int
    seconds: float
    files: int

    def line(self, ours: Cost) -> str:
        """One row of the table; ratios are per job."""
        ratio = (self.seconds / self.jobs) / (ours.seconds / ours.jobs)
        return (
            f"{self.name:<26} {self.jobs:>7,} jobs {self.seconds:>8.2f} s {1e3 * self.seconds / self.jobs:>9.3f} ms/job"
            f" ({ratio:5.1f}x) {self.files:>8,} files ({self.files / self.jobs:.3f} a job)"
        )


def timed(name: str, jobs: int, folder: Path, command: list[str]) -> Cost:
    """Run a command in a folder; count the files that it leaves there."""
    before = sum(path.is_file() for path in folder.rglob("*"))
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - begin
    return Cost(name, jobs, took, sum(path.is_file() for path in folder.rglob("*")) - before)


def seedfold(folder: Path, jobs: int, *overrides: str) -> Cost:
    """Launch a study of so many jobs."""
    experiments = folder / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (folder / "trivial.py").write_text("def run(work):\n    pass\n")
    (experiments / "many.yaml").write_text(STUDY.format(jobs=jobs))
    options = ["experiment=many", "cluster=slurm", "+cluster.options.hold=true", "cluster.keeper=false", *overrides]
    command = [str(SEEDFOLD), "launch", "--config-dir", "conf", "--root", "runs", *options]
    return timed(" ".join(["seedfold launch", *overrides]), jobs, folder, command)


def submitit_array(folder: Path, jobs: int) -> Cost:
    """Submit the same with `map_array`."""
    folder.mkdir()
    (folder / "peer.py").write_text(SUBMITIT)
    return timed("submitit map_array", jobs, folder, [sys.executable, "peer.py", str(jobs)])


def hydra_launcher(folder: Path, jobs: int) -> Cost:
    """Submit with Hydra's launcher, which waits for the jobs: it is stopped when all are queued."""
    folder.mkdir()
    (folder / "peer.py").write_text(HYDRA)
    begin = time.perf_counter()
    waiting = subprocess.Popen([sys.executable, "peer.py", *HYDRA_OPTIONS, f"+seed=range(0,{jobs})"], cwd=folder)
    while queued("peer") < jobs and waiting.poll() is None:
        time.sleep(0.2)
    took = time.perf_counter() - begin
    waiting.kill()
    waiting.wait()
    return Cost("hydra-submitit-launcher", jobs, took, sum(path.is_file() for path in folder.rglob("*")))


def queued(name: str) -> int:
    """Tasks of that name in the queue."""
    command = ["squeue", "--me", "-h", "-r", f"--name={name}", "-o", "%i"]
    return len(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def empty_queue() -> None:
    """Cancel what the benchmark queued."""
    subprocess.run(["scancel", "--me"], check=True)


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--hydra-jobs", type=int, default=50)
    asked = parser.parse_args()
    os.environ["COLUMNS"] = "120"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        costs = [seedfold(folder / "ours", asked.jobs)]
        empty_queue()
        costs.append(seedfold(folder / "packed", asked.jobs, "cluster.jobs_per_task=100"))
        empty_queue()
        costs.append(submitit_array(folder / "submitit", asked.jobs))
        empty_queue()
        if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher"):
            costs.append(hydra_launcher(folder / "hydra", asked.hydra_jobs))
            empty_queue()
    for cost in costs:
        print(cost.line(costs[0]))


if __name__ == "__main__":
    main()
