"""From the configuration to the samples of one job: what it trains on and what it predicts, ready for a model.

Samples come from a source, divided by `task.test` and `task.folds`, or, where the task has `task.split`, from a cache
and a split table of upstream stages. A task with `task.test_source` tests on that instead of on samples held out.
Standardisation learns mean and deviation from the training samples of this job alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.build import build
from seedfold.trainers.data.cached_samples import cached_splits
from seedfold.trainers.data.folds import divide
from seedfold.trainers.data.samples import Floats, Indices, Reads, Samples, StoredInputs
from seedfold.trainers.data.sampling import to_long_tail


@dataclass(frozen=True)
class JobData:
    """``train`` after resampling; ``evaluated`` maps the other splits to their samples, never resampled.

    ``validation`` names the split that is looked at after each epoch.
    """

    train: Samples
    evaluated: Mapping[str, Samples]
    classes: int
    validation: str = "val"


def load(config: Mapping[str, Any], reads: Reads, parents: Mapping[str, Path] | None = None) -> JobData:
    """Read, divide, resample and standardise as ``task``, ``sampling`` and ``fold`` say.

    ``parents`` are the published folders of upstream stages. Raises DataFailure for bad data, ConfigFailure for
    settings that cannot be.
    """
    return _cached(config, parents or {}) if config["task"].get("split") else _divided(config, reads)


def _cached(config: Mapping[str, Any], parents: Mapping[str, Path]) -> JobData:
    task, classes = config["task"], int(config["task"]["classes"])
    if task.get("standardize", "none") != "none":
        raise ConfigFailure("task.standardize: cached images are scaled to 0 … 1 and no further; use none")
    splits = cached_splits(task, parents)
    train = splits.pop("train")
    kept = _resampled(np.arange(len(train)), train.targets, classes, config.get("sampling") or {})
    return JobData(train.take(kept), splits, classes, validation="dev_cal")


def _divided(config: Mapping[str, Any], reads: Reads) -> JobData:
    task, sampling = config["task"], config.get("sampling") or {}
    samples = build(task["source"], "task.source").load(reads)
    classes = int(task["classes"])
    division = divide(samples, task, int(config["fold"]))
    kept = _resampled(division.train, samples.targets, classes, sampling)
    standardise = _standardisation(samples.inputs[kept], task.get("standardize", "none"))
    test = samples.take(division.test)
    if task.get("test_source"):
        test = build(task["test_source"], "task.test_source").load(reads)
    splits = {"train": samples.take(kept), "val": samples.take(division.val), "test": test}
    splits = {name: standardise(split) for name, split in splits.items()}
    return JobData(splits.pop("train"), splits, classes)


def _resampled(train: Indices, targets: Indices, classes: int, sampling: Mapping[str, Any]) -> Indices:
    positions = to_long_tail(targets[train], classes, sampling.get("imbalance_ratio"), int(sampling.get("seed", 0)))
    return train[positions]


def _standardisation(train: Floats | StoredInputs, how: str) -> Callable[[Samples], Samples]:
    """Learn from the training inputs what is done to all inputs."""
    if how == "none":
        return lambda samples: samples
    if how not in ("feature", "all"):
        raise ConfigFailure(f"task.standardize: {how!r} is none of none, feature, all")
    if not isinstance(train, np.ndarray):
        raise ConfigFailure("task.standardize: only inputs in memory can be standardised, and these stay in files")
    axes = (0,) if how == "feature" else tuple(range(train.ndim))
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    # A constant feature says nothing; it becomes 0 instead of infinite.
    scale = np.where(deviation > 0, deviation, 1.0)
    return lambda samples: replace(samples, inputs=((samples.inputs - mean) / scale).astype(np.float32))
