"""Samples of an archive that are added to training, and never validate or test; settings are ``task.archive``.

The archive has shards of its own. Where shard i of the development samples is trained on, so is the archive's shard
``step`` · i; thus each fold trains on another part of the archive, and samples keep their proportion.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import counted
from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.folds import hold_out, shards_of, task_shards
from seedfold.trainers.data.samples import Floats, Indices, Reads, Samples, StoredInputs
from seedfold.trainers.setup.build import build

_KEY = "task.archive"
_log = logging.getLogger(__name__)


def with_archive(samples: Samples, train: Indices, task: Mapping[str, Any], reads: Reads) -> tuple[Samples, Indices]:
    """Return the samples with those of the archive behind them, and the rows to train on; as given without ``use``.

    Raises ConfigFailure for settings that cannot be, DataFailure for an image that the development samples have, too.
    """
    settings = task.get("archive")
    if not settings or not settings["use"]:
        return samples, train
    archive: Samples = build(settings["source"], f"{_KEY}.source").load(reads)
    _refuse_shared(samples, archive)
    wanted = int(settings["step"]) * np.unique(_shards(samples, task)[train])
    numbers = shards_of(archive, settings["shards"], f"{_KEY}.shards")
    absent = np.setdiff1d(wanted, numbers)
    if len(absent):
        raise ConfigFailure(f"{_KEY}: has no shard {absent[0]}; {_KEY}.shards.count is to be above it, or step smaller")
    added = np.flatnonzero(np.isin(numbers, wanted))
    _log.info("archive: %s of %s trained on, beside %s", len(added), counted(len(archive), "sample"), len(train))
    return _joined(samples, archive), np.concatenate([train, len(samples) + added])


def _shards(samples: Samples, task: Mapping[str, Any]) -> Indices:
    """The shard of each development sample."""
    rows, _ = hold_out(samples, task.get("test"))
    found = task_shards(samples.take(rows), task)
    if found is None:
        raise ConfigFailure(f"{_KEY}: is added by shards, so the samples need some; give task.folds.shards")
    shards = np.full(len(samples), -1, dtype=np.int64)
    shards[rows] = found
    return shards


def _refuse_shared(samples: Samples, archive: Samples) -> None:
    shared = sorted(set(samples.ids) & set(archive.ids))
    if shared:
        many = counted(len(shared), "sample is", "samples are")
        raise DataFailure(f"{_KEY}: {many} in the data that validate, too ({shared[0]}); take them out of the archive")


def _joined(first: Samples, second: Samples) -> Samples:
    inputs = _joined_inputs(first.inputs, second.inputs)
    return Samples((*first.ids, *second.ids), inputs, np.concatenate([first.targets, second.targets]))


def _joined_inputs(first: Floats | StoredInputs, second: Floats | StoredInputs) -> Floats | StoredInputs:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.shape[1:] != second.shape[1:]:
            raise ConfigFailure(f"{_KEY}.source: inputs are {second.shape[1:]}, those of task.source {first.shape[1:]}")
        return np.concatenate([first, second])
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        raise ConfigFailure(f"{_KEY}.source: hold both it and task.source in memory, or neither")
    if first.sample_bytes != second.sample_bytes:
        raise ConfigFailure(f"{_KEY}.source: a sample has another size than those of task.source; give both one size")
    return JoinedInputs(first, second, np.arange(len(first) + len(second), dtype=np.int64))


@dataclass(frozen=True)
class JoinedInputs:
    """The inputs ``rows`` of two sources, counted through from the first to the second, in that order."""

    first: StoredInputs
    second: StoredInputs
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Indices | slice) -> JoinedInputs:
        """Return the inputs at these positions, still unread."""
        return JoinedInputs(self.first, self.second, self.rows[positions])

    @property
    def sample_bytes(self) -> int:
        """What one input takes in memory."""
        return self.first.sample_bytes

    def gather(self, positions: Indices | slice) -> NDArray[Any]:
        """Read the inputs at these positions; raises the DataFailure of the first that fails."""
        rows, count = self.rows[positions], len(self.first)
        own, other = np.flatnonzero(rows < count), np.flatnonzero(rows >= count)
        read = np.concatenate([self.first.gather(rows[own]), self.second.gather(rows[other] - count)])
        inputs = np.empty_like(read)
        inputs[np.concatenate([own, other])] = read
        return inputs
