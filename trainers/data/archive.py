"""Samples of an archive that only training uses, never validation or testing; the settings are ``task.archive``.

The archive has shards of its own. If shard i of the development samples is trained on, so is shard ``step`` · i
of the archive. Thus each fold trains on another part of the archive, and the proportion of its samples stays the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import count_noun
from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.decoded_copies import decode_once
from seedfold.trainers.data.folds import hold_out, make_shards, make_task_shards
from seedfold.trainers.data.samples import Floats, Indices, Reads, Samples, StoredInputs
from seedfold.trainers.setup.object_builder import build

_CONFIG_KEY = "task.archive"
_log = logging.getLogger(__name__)


def add_archive(
    samples: Samples, train: Indices, task: Mapping[str, Any], reads: Reads, scratch: str | None = None
) -> tuple[Samples, Indices]:
    """Return the samples followed by those of the archive, and the rows to train on; without ``use``, nothing is added.

    ``scratch`` is a folder for decoded images on this machine. Raises ConfigFailure for invalid settings, DataFailure
    for an image that is also among the development samples.
    """
    settings = task.get("archive")
    if not settings or not settings["use"]:
        return samples, train
    archive: Samples = build(settings["source"], f"{_CONFIG_KEY}.source").load(reads)
    archive = replace(archive, inputs=decode_once(archive.inputs, scratch))
    _refuse_shared_samples(samples, archive)
    shards_wanted = int(settings["step"]) * np.unique(_development_shards(samples, task)[train])
    numbers = make_shards(archive, settings["shards"], f"{_CONFIG_KEY}.shards")
    missing_shards = np.setdiff1d(shards_wanted, numbers)
    if len(missing_shards):
        raise ConfigFailure(
            f"{_CONFIG_KEY}: has no shard {missing_shards[0]}; "
            f"{_CONFIG_KEY}.shards.count has to be larger, or step smaller"
        )
    added = np.flatnonzero(np.isin(numbers, shards_wanted))
    _log.info("archive: %s of %s trained on, beside %s", len(added), count_noun(len(archive), "sample"), len(train))
    return _join_samples(samples, archive), np.concatenate([train, len(samples) + added])


def _development_shards(samples: Samples, task: Mapping[str, Any]) -> Indices:
    """Return the shard of each development sample."""
    rows, _ = hold_out(samples, task.get("test"))
    development_shards = make_task_shards(samples.take(rows), task)
    if development_shards is None:
        raise ConfigFailure(f"{_CONFIG_KEY}: is added by shards, so the samples need shards; give task.folds.shards")
    shards = np.full(len(samples), -1, dtype=np.int64)
    shards[rows] = development_shards
    return shards


def _refuse_shared_samples(samples: Samples, archive: Samples) -> None:
    shared = sorted(set(samples.ids) & set(archive.ids))
    if shared:
        count_text = count_noun(len(shared), "sample is", "samples are")
        raise DataFailure(
            f"{_CONFIG_KEY}: {count_text} also in the validation data ({shared[0]}); remove them from the archive"
        )


def _join_samples(first: Samples, second: Samples) -> Samples:
    inputs = _join_inputs(first.inputs, second.inputs)
    return Samples((*first.ids, *second.ids), inputs, np.concatenate([first.targets, second.targets]))


def _join_inputs(first: Floats | StoredInputs, second: Floats | StoredInputs) -> Floats | StoredInputs:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.shape[1:] != second.shape[1:]:
            raise ConfigFailure(
                f"{_CONFIG_KEY}.source: inputs are {second.shape[1:]}, but those of task.source are {first.shape[1:]}"
            )
        return np.concatenate([first, second])
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        raise ConfigFailure(f"{_CONFIG_KEY}.source: either hold both this and task.source in memory, or neither")
    if first.sample_bytes != second.sample_bytes:
        raise ConfigFailure(
            f"{_CONFIG_KEY}.source: a sample has another size than those of task.source; give both the same size"
        )
    return JoinedInputs(first, second, np.arange(len(first) + len(second), dtype=np.int64))


@dataclass(frozen=True)
class JoinedInputs:
    """The inputs ``rows`` of two sources, in that order; row numbers of the second source follow those of the first."""

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
        """Return the memory of one input, in bytes."""
        return self.first.sample_bytes

    def gather(self, positions: Indices | slice) -> NDArray[Any]:
        """Read the inputs at these positions; raises the DataFailure of the first that fails."""
        rows, count = self.rows[positions], len(self.first)
        of_first, of_second = np.flatnonzero(rows < count), np.flatnonzero(rows >= count)
        read = np.concatenate([self.first.gather(rows[of_first]), self.second.gather(rows[of_second] - count)])
        inputs = np.empty_like(read)
        inputs[np.concatenate([of_first, of_second])] = read
        return inputs
