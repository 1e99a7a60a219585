"""How many jobs an hour a GPU does with 1, 2, 4 and 8 of them at a time, and with small ones trained together.

Three kinds of jobs: the CNN of the digits, as its study trains it; a 3D network on volumes of 64³; an EfficientNet-B0
on images of 128². Each runs in a process of its own that is forked from one that has imported everything, as a worker
does it. Where an MPS daemon is to be had, the jobs run with it as well. Without a GPU a CPU is measured, with smaller
jobs: more jobs at a time than processors gain nothing there.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, NotMeasured, main
from seedfold.jobs.study import load_study
from seedfold.orchestrator.worker.messages import single_thread_variables
from seedfold.orchestrator.worker.mps import MpsDaemon
from seedfold.orchestrator.worker.slots import visible_gpus

Job = Callable[[int], None]
"""Does the job of a number."""


def on_device(network: Any, images: Any, steps: int) -> None:
    """Train a network for some steps of Adam on random images, on the GPU that this process sees or on its CPU."""
    import torch

    device = "cuda" if os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu"
    network, images = network.to(device), images.to(device)
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        found = network(images)
        outputs = found.values() if isinstance(found, dict) else [found]
        sum(one.square().mean() for one in outputs).backward()
        optimizer.step()
    float(next(network.parameters()).sum())


def volumes(steps: int, batch: int, side: int) -> Job:
    """Jobs that train the 3D network of the study mgmt."""

    def run(number: int) -> None:
        import torch

        from seedfold.trainers.studies.mgmt.deep_supervision import DeepSupervisionCNN

        torch.manual_seed(number)
        network = DeepSupervisionCNN({"flair": True}, [side] * 3, blocks=[1, 1, 1], channels=16, growth=16)
        on_device(
            network, torch.cat([torch.randn(batch, 1, side, side, side), torch.ones(batch, 1, *[side] * 3)], 1), steps
        )

    return run


def efficientnets(steps: int, batch: int, side: int) -> Job:
    """Jobs that train an EfficientNet-B0."""

    def run(number: int) -> None:
        import torch

        from seedfold.trainers.models.efficientnet import efficientnet

        torch.manual_seed(number)
        on_device(efficientnet("efficientnet-b0", in_channels=3, classes=2), torch.randn(batch, 3, side, side), steps)

    return run


def digits(folder: Path, epochs: int, overrides: Sequence[str]) -> Job:
    """Jobs of the study of the digits, with all that they write."""
    study = load_study(["experiment=digits", "model=small_cnn", f"trainer.max_epochs={epochs}", *overrides])
    jobs = list(study.jobs())

    def run(number: int) -> None:
        from benchmarks.fused import make_works
        from seedfold.trainers.stages import fit_predict

        with tempfile.TemporaryDirectory(dir=folder) as own:
            [work] = make_works(jobs[number % len(jobs) :][:1], Path(own))
            fit_predict.run(work)

    return run


def preload() -> None:
    """Import what the jobs need, as the template of a worker does."""
    os.environ.update(single_thread_variables())
    from seedfold.trainers.stages import fit_predict

    for name in (
        *fit_predict.PRELOAD,
        "benchmarks.fused",
        "seedfold.trainers.studies.mgmt.deep_supervision",
        "monai.networks.nets.efficientnet",
    ):
        importlib.import_module(name)


def in_process(job: Job, number: int, variables: Mapping[str, str]) -> None:
    """Do a job in this process, which was forked for it."""
    import torch

    os.environ.update(variables)
    torch.set_num_threads(1)
    job(number)


def seconds_a_job(job: Job, jobs: int, at_a_time: int, variables: Mapping[str, str]) -> float:
    """Return how long a job takes on average if so many run at a time."""
    fork, begin = multiprocessing.get_context("fork"), time.perf_counter()
    waiting, running = list(range(jobs)), list[Any]()
    while waiting or running:
        while waiting and len(running) < at_a_time:
            running.append(fork.Process(target=in_process, args=(job, waiting.pop(), variables)))
            running[-1].start()
        multiprocessing.connection.wait([one.sentinel for one in running])
        for one in [one for one in running if not one.is_alive()]:
            one.join()
            running.remove(one)
            if one.exitcode:
                raise NotMeasured(f"a job ended with code {one.exitcode}, {at_a_time} at a time")
    return (time.perf_counter() - begin) / jobs


def compare(
    name: str, job: Job, counts: Sequence[int], jobs: int, ways: Mapping[str, Mapping[str, str]]
) -> list[Figure]:
    """Compare numbers of jobs at a time, after one that warms up."""
    plain = next(iter(ways.values()))
    seconds_a_job(job, 1, 1, plain)
    alone = seconds_a_job(job, jobs, 1, plain)
    figures = [hourly(f"{name}, 1 at a time", alone, None)]
    for way, variables in ways.items():
        figures += [
            hourly(f"{name}, {count} at a time{way}", seconds_a_job(job, jobs, count, variables), alone)
            for count in counts[1:]
        ]
    return figures


def hourly(name: str, taken: float, alone: float | None) -> Figure:
    """Return seconds a job, with jobs an hour in the name."""
    return Figure(f"{name}: {3600 / taken:,.0f} jobs an hour", taken, alone, "1 at a time" if alone else "")


def fused_digits(folder: Path, epochs: int, jobs: int, alone: float) -> Figure:
    """Train digits jobs together in one process."""
    from benchmarks.fused import make_works, together

    study = load_study(["experiment=digits", "model=small_cnn", f"trainer.max_epochs={epochs}", "seed=range(0,5)"])
    works = make_works(list(study.jobs())[:jobs], folder / "fused")
    fork, begin = multiprocessing.get_context("fork"), time.perf_counter()
    process = fork.Process(target=in_process, args=(lambda number: together(works), 0, {}))
    process.start()
    process.join()
    if process.exitcode:
        raise NotMeasured(f"jobs that were trained together ended with code {process.exitcode}")
    return hourly(f"digits CNN, {jobs} trained together", (time.perf_counter() - begin) / jobs, alone)


def ways_here() -> Iterator[tuple[str, dict[str, str], MpsDaemon | None]]:
    """Yield the ways to run jobs side by side: on the first GPU, plain and with MPS, or on the CPU."""
    gpus = visible_gpus()
    if not gpus:
        yield "", {"CUDA_VISIBLE_DEVICES": ""}, None
        return
    first = gpus[0]
    yield "", {"CUDA_VISIBLE_DEVICES": first.index}, None
    daemon = MpsDaemon.start({first.index: first.uuid})
    if daemon is not None:
        yield ", MPS", daemon.environment_variables([first.index]), daemon


def measure(quick: bool) -> list[Figure]:
    """Compare on the first GPU, or on the CPU with fewer and smaller jobs."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    preload()
    found = list(ways_here())
    ways = {way: variables for way, variables, _ in found}
    is_gpu = any(variables["CUDA_VISIBLE_DEVICES"] for variables in ways.values())
    counts = (1, 2) if quick else (1, 2, 4, 8)
    jobs, epochs, steps = (2, 1, 1) if quick else (16, 40, 200) if is_gpu else (8, 5, 3)
    side_3d, side_2d, batch = (16, 32, 2) if quick else (64, 128, 32 if is_gpu else 4)
    device = ["trainer.accelerator=cuda", "resources.gpus=1"] if is_gpu else []
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            small = compare("digits CNN", digits(folder, epochs, device), counts, jobs, ways)
            if not is_gpu:  # jobs on a GPU are not trained together
                small.append(fused_digits(folder, epochs, jobs, small[0].seedfold))
        return [
            *small,
            *compare(f"3D network, {side_3d}³", volumes(steps, max(1, batch // 8), side_3d), counts, jobs, ways),
            *compare(f"EfficientNet-B0, {side_2d}²", efficientnets(steps, batch, side_2d), counts, jobs, ways),
        ]
    finally:
        for _, _, daemon in found:
            if daemon is not None:
                daemon.close()


if __name__ == "__main__":
    main(measure)
