"""From the configuration to the samples of one job: training, validation and test, ready for a model.

Standardisation learns mean and deviation from the training samples of this job alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.build import build
from seedfold.trainers.data.folds import divide
from seedfold.trainers.data.samples import Floats, Indices, Reads, Samples
from seedfold.trainers.data.sampling import to_long_tail


@dataclass(frozen=True)
class JobData:
    """``train`` after resampling; ``evaluated`` maps ``val`` and ``test`` to their samples, never resampled."""

    train: Samples
    evaluated: Mapping[str, Samples]
    classes: int


def load(config: Mapping[str, Any], reads: Reads) -> JobData:
    """Read, divide, resample and standardise as ``task``, ``sampling`` and ``fold`` say.

    Raises DataFailure for bad data, ConfigFailure for settings that cannot be.
    """
    task, sampling = config["task"], config.get("sampling") or {}
    samples = build(task["source"], "task.source").load(reads)
    classes = int(task["classes"])
    division = divide(samples, task, int(config["fold"]))
    kept = _resampled(division.train, samples.targets, classes, sampling)
    samples = _standardised(samples, samples.inputs[kept], task.get("standardize", "none"))
    evaluated = {"val": samples.take(division.val), "test": samples.take(division.test)}
    return JobData(samples.take(kept), evaluated, classes)


def _resampled(train: Indices, targets: Indices, classes: int, sampling: Mapping[str, Any]) -> Indices:
    positions = to_long_tail(targets[train], classes, sampling.get("imbalance_ratio"), int(sampling.get("seed", 0)))
    return train[positions]


def _standardised(samples: Samples, train: Floats, how: str) -> Samples:
    if how == "none":
        return samples
    if how not in ("feature", "all"):
        raise ConfigFailure(f"task.standardize: {how!r} is none of none, feature, all")
    axes = (0,) if how == "feature" else tuple(range(train.ndim))
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    # A constant feature says nothing; it becomes 0 instead of infinite.
    scale = np.where(deviation > 0, deviation, 1.0)
    return replace(samples, inputs=((samples.inputs - mean) / scale).astype(np.float32))
