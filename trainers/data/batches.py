"""Batches from tensors in memory or from files, gathered a block at a time instead of collated sample by sample.

A block holds several consecutive batches, so that the cost of Lightning's loop is paid once per block and not once
per step. Training still makes one step per batch, and results do not depend on the size of a block.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from seedfold.trainers.data.samples import Floats, Indices, Samples, StoredInputs
from seedfold.trainers.data.sampling import TrainingOrder
from seedfold.trainers.setup.ranks import SINGLE_RANK, Ranks

_BLOCK_BYTES = 64 * 1024**2


@dataclass
class Position:
    """The progress of training: ``step`` batches of epoch ``epoch`` (both from 0) are done.

    ``loss_sum`` and ``seen`` accumulate the epoch's mean loss; ``history`` has one row of metrics per finished epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seen: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def next_epoch(self, row: dict[str, float]) -> None:
        """Close the epoch with its row of metrics."""
        self.history.append(row)
        self.epoch, self.step, self.loss_sum, self.seen = self.epoch + 1, 0, 0.0, 0


def steps_of_epoch(steps: int, max_steps: int | None, epoch: int) -> int:
    """Return how many batches an epoch has, of at most ``steps``: ``max_steps`` limits those of all epochs together."""
    return steps if max_steps is None else max(0, min(steps, max_steps - epoch * steps))


class Batch(NamedTuple):
    """Inputs (b, ...) and class targets (b,) int64, or masks (b, height, width) uint8 with the class of each pixel:
    those of ``total_samples`` samples that this process computes.

    Inputs are float32 or, as they are read from files, uint8 or float16; a network gets `scaled_inputs`.
    ``weight`` is the weight of its mean loss among those of the other processes of the job.
    """

    inputs: Tensor
    targets: Tensor
    total_samples: int
    weight: float = 1.0

    def scaled_inputs(self) -> Tensor:
        """Return the inputs as floats, on the same device; bytes are scaled to 0 … 1."""
        if self.inputs.dtype == torch.float16:
            return self.inputs.to(torch.get_default_dtype())  # which Lightning sets to the precision
        if self.inputs.is_floating_point():
            return self.inputs
        return (self.inputs.float() / 255).to(torch.get_default_dtype())


class Block(NamedTuple):
    """Consecutive batches of one epoch; ``first`` is the number of the first in the epoch."""

    first: int
    batches: list[Batch]


class TrainingBlocks:
    """The blocks of the epoch that ``position`` is in; batches before ``position.step`` are skipped.

    ``most`` limits the batches of all epochs together. Each of ``ranks`` takes its share of every batch.
    """

    def __init__(
        self,
        samples: Samples,
        order: TrainingOrder,
        position: Position,
        *,
        batch_size: int,
        drop_last: bool,
        batches_per_block: int,
        max_batches: int | None = None,
        ranks: Ranks = SINGLE_RANK,
    ) -> None:
        self._ranks, self._is_in_files = ranks, not isinstance(samples.inputs, np.ndarray)
        self._gather, self._targets = _make_gatherer(samples.inputs), _make_gatherer(_training_targets(samples))
        self._order, self._position = order, position
        self._batch_size, self._max_batches = batch_size, max_batches
        self._batches_per_block = min(batches_per_block, _max_batches_per_block(samples, batch_size))
        count = len(samples)
        self.steps = count // batch_size if drop_last else -(-count // batch_size)

    def count_epochs(self, max_epochs: int) -> int:
        """Return the number of epochs, at most as many as ``most`` batches allow."""
        return max_epochs if self._max_batches is None else min(max_epochs, -(-self._max_batches // self.steps))

    @property
    def has_short_epoch(self) -> bool:
        """Whether the last epoch has fewer batches than the others."""
        return self._max_batches is not None and self._max_batches % self.steps > 0

    def steps_of_epoch(self) -> int:
        """Return the number of batches of the epoch that the position is in."""
        return steps_of_epoch(self.steps, self._max_batches, self._position.epoch)

    def __len__(self) -> int:
        return -(-self.steps_of_epoch() // self._batches_per_block)

    def __iter__(self) -> Iterator[Block]:
        blocks = self._iterate_blocks()
        return _read_ahead(blocks) if self._is_in_files else blocks

    def _iterate_blocks(self) -> Iterator[Block]:
        done, steps = self._position.step, self.steps_of_epoch()
        positions = torch.from_numpy(self._order.positions(self._position.epoch))
        for start in range(0, steps, self._batches_per_block):
            stop = min(start + self._batches_per_block, steps)
            first = min(max(start, done), stop)
            yield Block(first, self._make_batches(positions[first * self._batch_size : stop * self._batch_size]))

    def _make_batches(self, positions: Tensor) -> list[Batch]:
        if not len(positions):
            return []
        if self._ranks.count > 1:
            return [self._make_share(batch) for batch in torch.split(positions, self._batch_size)]
        return list(_split_batches(self._gather(positions), self._targets(positions), self._batch_size))

    def _make_share(self, positions: Tensor) -> Batch:
        """Return this rank's part of a batch.

        If it has none, it takes a sample that does not count, so that all ranks make the same steps.
        """
        share = positions[self._ranks.share_of(len(positions))]
        weight = len(share) * self._ranks.count / len(positions)
        share = share if len(share) else positions[:1]
        return Batch(self._gather(share), self._targets(share), len(positions), weight)


class EvaluationBatches:
    """The samples of ``rows`` (usually all samples), once and in their order."""

    def __init__(self, samples: Samples, batch_size: int, rows: slice = slice(None)) -> None:
        self._gather, self._targets = (
            _make_gatherer(samples.inputs[rows]),
            _make_gatherer(_training_targets(samples)[rows]),
        )
        self._count = len(samples.targets[rows])
        self._batch_size, self._is_in_files = batch_size, not isinstance(samples.inputs, np.ndarray)

    def __len__(self) -> int:
        return -(-self._count // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        batches = self._iterate_batches()
        return _read_ahead(batches) if self._is_in_files else batches

    def _iterate_batches(self) -> Iterator[Batch]:
        for start in range(0, self._count, self._batch_size):
            rows = slice(start, start + self._batch_size)
            targets = self._targets(rows)
            yield Batch(self._gather(rows), targets, len(targets))


def _training_targets(samples: Samples) -> Indices | StoredInputs:
    """Return the targets of a network: masks if there are any, else classes."""
    return samples.targets if samples.masks is None else samples.masks


def _make_gatherer(inputs: Floats | Indices | StoredInputs) -> Callable[[Tensor | slice], Tensor]:
    if isinstance(inputs, np.ndarray):
        tensor = torch.from_numpy(inputs)
        return lambda rows: tensor[rows]
    return lambda rows: torch.from_numpy(inputs.gather(rows if isinstance(rows, slice) else rows.numpy()))


def _max_batches_per_block(samples: Samples, batch_size: int) -> int:
    """Return how many batches a block from files may have: few enough to fit into memory with the network."""
    if isinstance(samples.inputs, np.ndarray):
        return sys.maxsize
    sample_bytes = samples.inputs.sample_bytes + (0 if samples.masks is None else samples.masks.sample_bytes)
    return max(1, _BLOCK_BYTES // (batch_size * sample_bytes))


_Item = TypeVar("_Item")


def _read_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Make each item while the caller uses the one before it."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        coming = reader.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, iterator, end)
            yield item  # type: ignore[misc]


def _split_batches(inputs: Tensor, targets: Tensor, size: int) -> Iterator[Batch]:
    pairs = zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
    return (Batch(inputs, targets, len(targets)) for inputs, targets in pairs)
