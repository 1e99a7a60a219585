"""Reads the samples of one job as its configuration says: those to train on and those to predict.

Usually samples come from a source and are divided by `task.test` and `task.folds`. If the task has `task.split`, they
come from a cache and a split table of upstream stages; if it has `task.slices`, from the slices of an upstream stage,
divided like those of a source. A task with `task.test_source` tests on this source instead of samples that are held
out; a task with `task.archive` may also train on samples that are not divided. Standardisation learns mean and
deviation only from the training samples of this job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.data.archive import add_archive
from seedfold.trainers.data.cached_samples import read_cached_splits
from seedfold.trainers.data.decoded_copies import decode_once
from seedfold.trainers.data.folds import divide_samples
from seedfold.trainers.data.samples import Floats, Indices, Reads, Samples, StoredInputs
from seedfold.trainers.data.sampling import draw_long_tail
from seedfold.trainers.data.source_reader import read_source
from seedfold.trainers.data.upstream_files import SLICES_INDEX, find_upstream_file
from seedfold.trainers.setup.object_builder import build

SCALING_FILE = "scaling.npz"
NEW_SPLIT = "new"
_IN_FILES_MESSAGE = "task.standardize: only inputs in memory can be standardised, and these stay in files"


@dataclass(frozen=True)
class Scaling:
    """How inputs are standardised: numbers from the training samples, which are applied to all samples."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, samples: Samples) -> Samples:
        """Return the standardised samples; raises ConfigFailure for inputs that stay in files."""
        if not isinstance(samples.inputs, np.ndarray):
            raise ConfigFailure(_IN_FILES_MESSAGE)
        return replace(samples, inputs=((samples.inputs - self.mean) / self.scale).astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write the numbers to a file next to the weights."""
        with replace_file(folder / SCALING_FILE) as temporary, temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, mean=self.mean, scale=self.scale)

    @classmethod
    def read(cls, folder: Path) -> Scaling:
        """Read the file that `save` wrote; raises DataFailure if it is missing."""
        try:
            with np.load(folder / SCALING_FILE, allow_pickle=False) as arrays:
                return cls(arrays["mean"], arrays["scale"])
        except (OSError, ValueError, KeyError) as error:
            raise DataFailure(
                f"{folder / SCALING_FILE}: cannot be read ({error}); train the job again to write it"
            ) from error


@dataclass(frozen=True)
class JobData:
    """``train`` after resampling; ``evaluation_splits`` has the samples of the other splits, which are never resampled.

    ``validation_split`` names the split that is scored after each epoch.
    """

    train: Samples
    evaluation_splits: Mapping[str, Samples]
    classes: int
    validation_split: str = "val"
    scaling: Scaling | None = None


def load_data(config: Mapping[str, Any], reads: Reads, parents: Mapping[str, Path] | None = None) -> JobData:
    """Read, divide, resample and standardise as ``task``, ``sampling`` and ``fold`` say.

    ``parents`` are the published folders of upstream stages. Raises DataFailure for bad data, ConfigFailure for
    invalid settings.
    """
    if config["task"].get("split"):
        return _load_cached(config, parents or {})
    return _load_slices(config, parents or {}) if config["task"].get("slices") else _load_divided(config, reads)


def _load_cached(config: Mapping[str, Any], parents: Mapping[str, Path]) -> JobData:
    task, classes = config["task"], int(config["task"]["classes"])
    if task.get("standardize", "none") != "none":
        raise ConfigFailure("task.standardize: cached images are already scaled to 0 … 1; use none")
    splits = read_cached_splits(task, parents, (config.get("paths") or {}).get("scratch"))
    train = splits.pop("train")
    kept = _resample_rows(np.arange(len(train)), train.targets, classes, config.get("sampling") or {})
    return JobData(train.take(kept), splits, classes, validation_split="dev_cal")


def _load_slices(config: Mapping[str, Any], parents: Mapping[str, Path]) -> JobData:
    task = config["task"]
    if task.get("standardize", "none") != "none":
        raise ConfigFailure(_IN_FILES_MESSAGE)
    folder = find_upstream_file(parents, SLICES_INDEX).parent
    samples: Samples = build(task["slices"], "task.slices").load(folder)
    if samples.masks is None:
        raise DataFailure(f"{folder}: the faults of its volumes are not known, so there is nothing to learn")
    division = divide_samples(samples, task, int(config["fold"]))
    train = division.train if task.get("empty_slices", True) else drop_empty_slices(samples, division.train)
    if not len(train):
        raise DataFailure(
            f"{folder}: no slice of the training volumes shows a fault; task.empty_slices leaves out slices without one"
        )
    kept = _resample_rows(train, samples.targets, int(task["classes"]), config.get("sampling") or {})
    splits = {"val": samples.take(division.val), "test": samples.take(division.test)}
    return JobData(samples.take(kept), splits, int(task["classes"]))


def drop_empty_slices(samples: Samples, rows: Indices) -> Indices:
    """Return those of ``rows`` whose masks are not empty, for training without empty slices."""
    return rows[samples.targets[rows] > 0]


def _load_divided(config: Mapping[str, Any], reads: Reads) -> JobData:
    task, sampling = config["task"], config.get("sampling") or {}
    classes = int(task["classes"])
    scratch = (config.get("paths") or {}).get("scratch")
    samples = read_source(task.get("source"), "task.source", classes, reads)
    samples = replace(samples, inputs=decode_once(samples.inputs, scratch))
    division = divide_samples(samples, task, int(config["fold"]))
    test = samples.take(division.test)
    if task.get("test_source"):
        test = read_source(task["test_source"], "task.test_source", classes, reads, labelled=False)
    splits = {"val": samples.take(division.val), "test": test}
    samples, train = add_archive(samples, division.train, task, reads, scratch)
    kept = _resample_rows(train, samples.targets, classes, sampling)
    scaling = _fit_scaling(samples.inputs[kept], task.get("standardize", "none"))
    splits["train"] = samples.take(kept)
    if scaling:
        splits = {name: scaling.apply(split) for name, split in splits.items()}
    return JobData(splits.pop("train"), splits, classes, scaling=scaling)


def _resample_rows(train: Indices, targets: Indices, classes: int, sampling: Mapping[str, Any]) -> Indices:
    positions = draw_long_tail(targets[train], classes, sampling.get("imbalance_ratio"), int(sampling.get("seed", 0)))
    return train[positions]


def _fit_scaling(train: Floats | StoredInputs, mode: str) -> Scaling | None:
    if mode == "none":
        return None
    if mode not in ("feature", "all"):
        raise ConfigFailure(f"task.standardize: {mode!r} is not one of none, feature, all")
    if not isinstance(train, np.ndarray):
        raise ConfigFailure(_IN_FILES_MESSAGE)
    axes = (0,) if mode == "feature" else tuple(range(train.ndim))
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    # A constant feature has no information; it becomes 0 instead of infinite.
    return Scaling(mean, np.where(deviation > 0, deviation, 1.0))


def load_new_samples(config: Mapping[str, Any], reads: Reads, fit: Path) -> JobData:
    """Read ``predict.source``, standardised as in the training whose weights are in the folder ``fit``.

    These samples are only predicted; their split is called `NEW_SPLIT`.
    """
    task, classes = config["task"], int(config["task"]["classes"])
    samples = read_source(config["predict"]["source"], "predict.source", classes, reads, labelled=False)
    if task.get("standardize", "none") != "none":
        samples = Scaling.read(fit).apply(samples)
    return JobData(samples.take(np.arange(0)), {NEW_SPLIT: samples}, classes)
