"""From the command to everything queued on SLURM: seconds and files, against submitit and Hydra's submitit launcher.

A SLURM is brought up for it, in a folder and on ports of its own, where SLURM is installed. Jobs are submitted on hold.
Hydra's launcher is measured with fewer jobs, and its figure is that for all; it is left out where it is not installed.
Every contender starts from a fresh Python, as from a shell.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._figures import Figure, NotMeasured, main, seconds
from benchmarks._projects import seedfold, write_study

CLUSTER = Path(__file__).parents[1] / "tests" / "clusters" / "slurm" / "cluster.py"
DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")
HYDRA_JOBS = 50
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


@contextmanager
def slurm(folder: Path, jobs: int) -> Iterator[None]:
    """Bring up a SLURM that takes arrays of so many jobs, and have the commands of this process talk to it."""
    path = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
    missing = [daemon for daemon in DAEMONS if not shutil.which(daemon, path=path)]
    if missing:
        raise NotMeasured(f"SLURM is not installed: {', '.join(missing)} not found; `make cluster` installs it")
    where = ["--folder", str(folder)]
    size = ["--nodes", "1", "--max-array-size", f"{jobs + 1}", "--port", "27000"]
    try:
        subprocess.run([sys.executable, CLUSTER, "up", *where, *size], check=True, stdout=subprocess.DEVNULL)
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
            del os.environ[name]
        os.environ["SLURM_CONF"] = str(folder / "etc" / "slurm.conf")
        yield
    finally:
        subprocess.run([sys.executable, CLUSTER, "down", *where], check=True)


def cost(folder: Path, submit: Callable[[], object]) -> tuple[float, int]:
    """Return seconds, and the number of files that are left behind; cancel what was queued."""
    before = files(folder)
    took = seconds(submit)
    left = files(folder) - before
    subprocess.run(["scancel", "--me"], check=True)
    return took, left


def files(folder: Path) -> int:
    """Return the number of files below a folder."""
    return sum(path.is_file() for path in folder.rglob("*"))


def launch(project: Path, *overrides: str) -> None:
    """Launch the study on SLURM."""
    options = ["cluster=slurm", "+cluster.options.hold=true", "cluster.keeper=false", *overrides]
    seedfold(project, "launch", "--config-dir", "conf", "experiment=many", *options)


def submitit_array(folder: Path, jobs: int) -> None:
    """Submit the same with `map_array`."""
    subprocess.run([sys.executable, "-c", SUBMITIT, str(jobs)], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def hydra_launcher(folder: Path) -> None:
    """Submit with Hydra's launcher, which waits for the jobs: it is stopped when all are queued."""
    (folder / "peer.py").write_text(HYDRA)
    command = [sys.executable, "peer.py", *HYDRA_OPTIONS, f"+seed=range(0,{HYDRA_JOBS})"]
    waiting = subprocess.Popen(command, cwd=folder)
    while queued("peer") < HYDRA_JOBS and waiting.poll() is None:
        time.sleep(0.2)
    waiting.kill()
    waiting.wait()


def queued(name: str) -> int:
    """Return the number of tasks of that name in the queue."""
    command = ["squeue", "--me", "-h", "-r", f"--name={name}", "-o", "%i"]
    return len(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def compare(folder: Path, jobs: int) -> list[Figure]:
    """Submit with all contenders."""
    for name in ("ours", "packed", "submitit", "hydra"):
        (folder / name).mkdir()
    for name in ("ours", "packed"):
        write_study(folder / name, "many", {"run": "trivial.run", "matrix": {"seed": f"range(0,{jobs})"}})
    took, left = cost(folder, lambda: launch(folder / "ours"))
    snapshot = files(folder / "ours" / "runs" / "many" / "code")
    packed, _ = cost(folder, lambda: launch(folder / "packed", "cluster.jobs_per_task=100"))
    array, array_files = cost(folder, lambda: submitit_array(folder / "submitit", jobs))
    name, peer = f"submit {jobs:,} jobs", "submitit SLURM, map_array"
    figures = [
        Figure(name, took, array, peer, most=1),
        Figure(f"{name}, 100 to a task", packed, array, peer),
        Figure(f"{name}: files beside the snapshot", left - snapshot, array_files, peer, unit="files", most=10),
        Figure(f"{name}: files of the snapshot of the code", snapshot, unit="files"),
    ]
    if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher"):
        hydra, _ = cost(folder, lambda: hydra_launcher(folder / "hydra"))
        figures.append(Figure(name, took, hydra * jobs / HYDRA_JOBS, "hydra-submitit-launcher"))
    return figures


def measure(quick: bool) -> list[Figure]:
    """Submit 10,000 jobs."""
    jobs = 100 if quick else 10_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with slurm(folder / "slurm", jobs):
            (folder / "work").mkdir()
            return compare(folder / "work", jobs)


if __name__ == "__main__":
    main(measure)
