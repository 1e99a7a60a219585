"""What ten small jobs take that are trained together in one process, against the same jobs one after the other.

Both ways train, predict and write all files; each has its own folders. Seconds are those of the CPU, one thread.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._figures import Figure, main
from seedfold.jobs.description import JobDescription
from seedfold.jobs.study import load_study
from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict

JOBS = 10
CNN = ["model=small_cnn"]


def make_works(jobs: Sequence[JobDescription], folder: Path) -> list[Work]:
    """Return an attempt at each job, in folders of its own."""
    works = [Work(job, 1, folder / job.id, folder / f"{job.id}.staging") for job in jobs]
    for work in works:
        work.staging.mkdir(parents=True)
    return works


def one_by_one(works: Sequence[Work]) -> None:
    """Run the jobs as they run alone."""
    for work in works:
        fit_predict.run(work)


def together(works: Sequence[Work]) -> None:
    """Train the jobs together, and run them then."""
    with fit_predict.fit_together(works, measured=False) as fits:
        assert fits.note == f"{len(works)} jobs were trained together", fits.note
        one_by_one(works)


def cpu_seconds(run: Callable[[Sequence[Work]], None], jobs: Sequence[JobDescription]) -> float:
    """Return the seconds of the CPU that this way takes."""
    with tempfile.TemporaryDirectory() as folder:
        works = make_works(jobs, Path(folder))
        begin = time.process_time()
        run(works)
        return time.process_time() - begin


def compare(name: str, overrides: Sequence[str], epochs: int, count: int, most_of_peer: float | None) -> list[Figure]:
    """Train both ways, after one job to warm up."""
    study = load_study(["experiment=digits", "seed=range(0,5)", f"trainer.max_epochs={epochs}", *overrides])
    jobs = list(study.jobs())[:count]
    cpu_seconds(one_by_one, jobs[:1])
    alone, fused = cpu_seconds(one_by_one, jobs), cpu_seconds(together, jobs)
    return [Figure(f"{count} jobs, {name}, trained together", fused, alone, "one by one", most_of_peer=most_of_peer)]


def measure(quick: bool) -> list[Figure]:
    """Compare a small MLP, where the steps cost little more than their calls, and CNNs, where convolutions do."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if quick:
        return [*compare("digits MLP", ["model=mlp"], 1, 3, 1 / 2), *compare("digits CNN", CNN, 1, 3, None)]
    return [
        *compare("digits MLP", ["model=mlp"], 15, JOBS, 1 / 2),
        *compare("digits MLP, long", ["model=mlp"], 60, JOBS, 1 / 3),
        *compare("digits CNN", CNN, 5, JOBS, None),
    ]


if __name__ == "__main__":
    main(measure)
