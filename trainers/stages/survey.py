"""Shows the data of a task before training, and the same data after augmentation.

For people it leaves ``folds.csv`` (sample_id, target, fold, and group and shard where there are such),
``balance_folds.csv`` and ``balance_shards.csv`` (see `seedfold.trainers.data.fold_balance`), ``classes.svg`` and
``samples.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.work import Work
from seedfold.trainers.data.fold_balance import make_balance_table
from seedfold.trainers.data.folds import hold_out, make_development_folds, make_task_shards
from seedfold.trainers.data.samples import Indices, Samples
from seedfold.trainers.data.source_reader import read_source
from seedfold.trainers.setup.object_builder import build

PRELOAD = ("numpy", "pandas", "torch", "hydra.utils", "matplotlib.figure", "seedfold.trainers.stages.survey")
_HELD_OUT = -1
_SAMPLES_PER_CLASS, _AUGMENTED_PER_SAMPLE = 3, 5
"""Samples of each class in the grid, and augmented images of each beside the sample itself."""
_COLOUR = "#0072b2"


def run(work: Work) -> None:
    """Write the tables and figures; raises DataFailure and ConfigFailure as training would."""
    task = work.config["task"]
    classes = int(task["classes"])
    samples = read_source(task.get("source"), "task.source", classes, work.reads)
    folds, shards = _folds_and_shards(samples, task)
    development = folds != _HELD_OUT
    development_samples = samples.take(np.flatnonzero(development))
    make_balance_table(development_samples, folds[development], "fold", classes).to_csv(
        work.outputs / "balance_folds.csv", index=False
    )
    if shards is not None:
        table = make_balance_table(development_samples, shards[development], "shard", classes)
        table.to_csv(work.outputs / "balance_shards.csv", index=False)
    _write_folds(work.outputs / "folds.csv", samples, folds, shards)
    _draw_classes(work.outputs / "classes.svg", development_samples.targets, classes)
    _draw_samples(work.outputs / "samples.png", development_samples, classes, work.config)


def _folds_and_shards(samples: Samples, task: Mapping[str, Any]) -> tuple[Indices, Indices | None]:
    """The fold of each sample, and its shard if there are shards."""
    rows, _ = hold_out(samples, task.get("test"))
    development = samples.take(rows)
    folds = np.full(len(samples), _HELD_OUT, dtype=np.int64)
    for number, rows_of_fold in enumerate(make_development_folds(samples, task, rows)):
        folds[rows[rows_of_fold]] = number
    shards_of_development = make_task_shards(development, task)
    if shards_of_development is None:
        return folds, None
    shards = np.full(len(samples), _HELD_OUT, dtype=np.int64)
    shards[rows] = shards_of_development
    return folds, shards


def _write_folds(file: Path, samples: Samples, folds: Indices, shards: Indices | None) -> None:
    import pandas as pd

    columns: dict[str, Any] = {"sample_id": samples.ids, "target": samples.targets, "fold": folds}
    if samples.groups is not None:
        columns["group"] = samples.groups
    if shards is not None:
        columns["shard"] = shards
    pd.DataFrame(columns).to_csv(file, index=False)


def _draw_classes(file: Path, targets: Indices, classes: int) -> None:
    from matplotlib.figure import Figure

    counts = np.bincount(targets, minlength=classes)
    figure = Figure(figsize=(1.6 + 0.7 * classes, 2.8), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(range(classes), counts, color=_COLOUR)
    axes.set_xticks(range(classes))
    axes.bar_label(bars, [f"{count}\n{count / len(targets):.1%}" for count in counts], fontsize=8)
    axes.set(xlabel="class", ylabel="samples")
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def _draw_samples(file: Path, samples: Samples, classes: int, config: Mapping[str, Any]) -> None:
    """A row a sample, the first of each class: as it is, then augmented as in training."""
    from matplotlib.figure import Figure

    rows_shown = [
        row
        for number in range(classes)
        for row in np.flatnonzero(samples.targets == number)[:_SAMPLES_PER_CLASS].tolist()
    ]
    images = _augmented_images(samples.take(np.asarray(rows_shown, dtype=np.int64)), config)
    height, width = images.shape[-2:]
    figure = Figure(
        figsize=(1.6 * images.shape[1], 1.75 * len(rows_shown) * height / width + 0.3), layout="constrained"
    )
    grid: Any = figure.subplots(len(rows_shown), images.shape[1], squeeze=False)
    for line, row in enumerate(rows_shown):
        for column in range(images.shape[1]):
            grid[line, column].imshow(_to_visible(images[line, column], images[line, 0]))
            grid[line, column].set(xticks=[], yticks=[])
        grid[line, 0].set_ylabel(f"class {samples.targets[row]}", fontsize=8)
        grid[line, 0].set_title(samples.ids[row], fontsize=7)
    figure.savefig(file, dpi=80, metadata={"Software": None})


def _augmented_images(samples: Samples, config: Mapping[str, Any]) -> Any:
    """The images (n, 1 + passes, channels, height, width), the first of each as it is."""
    import torch

    from seedfold.trainers.data.batches import EvaluationBatches
    from seedfold.trainers.setup.randomness import make_generator

    [batch] = EvaluationBatches(samples, len(samples))
    inputs = batch.scaled_inputs()
    images = [inputs]
    if config.get("augment"):
        augment = build(config["augment"], "augment")
        seed = int(config["seed"])
        images += [
            augment(inputs, make_generator(torch.device("cpu"), seed, number))
            for number in range(_AUGMENTED_PER_SAMPLE)
        ]
    return torch.stack(images, dim=1).numpy()


def _to_visible(image: Any, reference: Any) -> Any:
    """Three channels as red, green and blue, one as grey, from the lowest to the highest percent of the sample."""
    low, high = np.percentile(reference, [1, 99])
    scaled = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.moveaxis(scaled, 0, -1) if len(scaled) == 3 else np.repeat(scaled[0][..., None], 3, axis=2)
