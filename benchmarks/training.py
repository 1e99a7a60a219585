"""What an epoch costs: Seedfold (with validation, metric history and a checkpoint flushed to disk) against plain loops.

All contenders train the same network on the same tensors on one thread, in turn, several rounds in one run; figures
are medians. Seedfold's epoch is the difference between a long and a short fit, so that what is paid once a fit is left
out and stands in a row of its own.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks._figures import Figure, main
from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.data.loading import JobData
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.learning import training
from seedfold.trainers.models.networks import MLP, SmallCNN
from seedfold.trainers.setup.process import prepare_process
from seedfold.trainers.setup.settings import TrainerSettings

SHORT, LONG = 2, 8


def samples(count: int, shape: tuple[int, ...]) -> Samples:
    """Return random samples of two classes."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(count, *shape)).astype(np.float32)
    return Samples(tuple(map(str, range(count))), inputs, generator.integers(0, 2, count))


def plain_epoch(network: nn.Module, batches: Iterable[Any]) -> float:
    """Return the seconds of one epoch of the loop everybody writes, after one to warm up."""
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(2):
        started = time.perf_counter()
        for inputs, targets in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return time.perf_counter() - started


class Plain(pl.LightningModule):
    """The usual Lightning module, everything automatic, nothing logged."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.started, self.seconds = network, 0.0, 0.0

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.seconds = time.perf_counter() - self.started


def lightning_epoch(network: nn.Module, batches: Any) -> float:
    """Return the seconds of the second epoch of a Lightning fit with everything optional off."""
    module = Plain(network)
    pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, batches)  # fmt: skip
    return module.seconds


def fit_seconds(network: nn.Module, data: JobData, batch_size: int, epochs: int) -> float:
    """Return the seconds of a whole fit in a new folder."""
    config = {
        "seed": 0,
        "task": {"classes": data.classes},
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True},
        "loss": {"function": {"_target_": "seedfold.trainers.learning.losses.CrossEntropy"}},
        "trainer": {"max_epochs": epochs, "batch_size": batch_size, "metrics": ["accuracy"]},
    }
    with tempfile.TemporaryDirectory() as folder:
        job = JobDescription("0" * 64, "benchmark", "train", {}, config, (), Resources(), "", "")
        work = Work(job, 1, Path(folder), Path(folder))
        prepare_process(TrainerSettings.from_config(config))
        started = time.perf_counter()
        training.fit(work, network, data)
        return time.perf_counter() - started


def compare(
    name: str,
    network: Callable[[], nn.Module],
    shape: tuple[int, ...],
    *,
    batches: int,
    size: int,
    rounds: int,
    most_of_loop: float,
) -> list[Figure]:
    """Train one network with all contenders."""
    train = samples(batches * size, shape)
    data = JobData(train, {"val": samples(32, shape)}, 2)
    tensors = TensorDataset(torch.from_numpy(train.inputs), torch.from_numpy(train.targets))
    loader = DataLoader(tensors, batch_size=size, shuffle=True)
    measured = []
    for _ in range(rounds):
        loop, lightning = plain_epoch(network(), loader), lightning_epoch(network(), loader)
        short, long = (fit_seconds(network(), data, size, epochs) for epochs in (SHORT, LONG))
        epoch = (long - short) / (LONG - SHORT)
        measured.append((epoch, loop, lightning, short - SHORT * epoch))
    epoch, loop, lightning, once = (statistics.median(column) for column in zip(*measured, strict=True))
    return [
        Figure(f"epoch of {name}, {batches} steps", epoch, loop, "loop over a DataLoader", most_of_peer=most_of_loop),
        Figure(f"epoch of {name}, {batches} steps", epoch, lightning, "Lightning, all options off"),
        Figure(f"once a fit of {name}", once),
    ]


def measure(quick: bool) -> list[Figure]:
    """Compare a small MLP, where the loop is what costs, and a CNN, where it is not."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    mlp, cnn = partial(MLP, 30, 2, [64, 64]), partial(SmallCNN, 1, [32, 32], 2, [16, 32])
    few, many, batches = (1, 1, 2) if quick else (5, 9, 8)
    return [
        *compare("a small MLP", mlp, (30,), batches=79, size=32, rounds=many, most_of_loop=1.1),
        *compare("a CNN", cnn, (1, 32, 32), batches=batches, size=64, rounds=few, most_of_loop=1.02),
    ]


if __name__ == "__main__":
    main(measure)
