"""Batches from tensors in memory or from files, gathered a block at a time instead of collated sample by sample.

A block holds several consecutive batches, so that the cost of Lightning's loop is paid once a block and not once
a step; training itself still steps batch by batch, and results do not depend on the size of a block.
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
from seedfold.trainers.data.sampling import Order
from seedfold.trainers.setup.ranks import ALONE, Ranks

_BLOCK_BYTES = 64 * 1024**2


@dataclass
class Position:
    """How far training is: ``step`` batches of epoch ``epoch`` (both from 0) are done.

    ``loss_sum`` and ``seen`` accumulate the epoch's mean loss; ``history`` has one row of metrics a finished epoch.
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


class Batch(NamedTuple):
    """Inputs (b, ...) and class targets (b,) int64, or masks (b, height, width) uint8 with the class of each pixel: of
    ``whole`` samples, those that this process looks at.

    Inputs are float32, or, straight from files, uint8 or float16; a network takes `scaled_inputs`.
    ``weight`` is what its mean loss counts beside that of the other processes of the job.
    """

    inputs: Tensor
    targets: Tensor
    whole: int
    weight: float = 1.0

    def scaled_inputs(self) -> Tensor:
        """Return the inputs as floats; bytes are scaled to 0 … 1, on whatever device they are."""
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
    """The blocks of the epoch that ``position`` is in; batches before ``position.step`` are left out.

    ``most`` limits the batches of all epochs together. Of every batch, each of ``ranks`` takes its share.
    """

    def __init__(
        self,
        samples: Samples,
        order: Order,
        position: Position,
        *,
        batch_size: int,
        drop_last: bool,
        block: int,
        most: int | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks, self._unread = ranks, not isinstance(samples.inputs, np.ndarray)
        self._gather, self._targets = _gatherer(samples.inputs), _gatherer(_learnt(samples))
        self._order, self._position = order, position
        self._batch_size, self._most = batch_size, most
        self._block = min(block, _largest_block(samples, batch_size))
        count = len(samples)
        self.steps = count // batch_size if drop_last else -(-count // batch_size)

    def epochs(self, most: int) -> int:
        """The epochs that there are batches for, at most ``most``."""
        return most if self._most is None else min(most, -(-self._most // self.steps))

    def _steps_now(self) -> int:
        left = self.steps if self._most is None else self._most - self._position.epoch * self.steps
        return max(0, min(self.steps, left))

    def __len__(self) -> int:
        return -(-self._steps_now() // self._block)

    def __iter__(self) -> Iterator[Block]:
        blocks = self._blocks()
        return _ahead(blocks) if self._unread else blocks

    def _blocks(self) -> Iterator[Block]:
        done, steps = self._position.step, self._steps_now()
        positions = torch.from_numpy(self._order.of(self._position.epoch))
        for start in range(0, steps, self._block):
            stop = min(start + self._block, steps)
            first = min(max(start, done), stop)
            yield Block(first, self._batches(positions[first * self._batch_size : stop * self._batch_size]))

    def _batches(self, positions: Tensor) -> list[Batch]:
        if not len(positions):
            return []
        if self._ranks.count > 1:
            return [self._share(batch) for batch in torch.split(positions, self._batch_size)]
        return list(_batches(self._gather(positions), self._targets(positions), self._batch_size))

    def _share(self, positions: Tensor) -> Batch:
        """This rank's part of a batch. Where it has none, it takes a sample that does not count, to keep in step."""
        own = positions[self._ranks.share(len(positions))]
        weight = len(own) * self._ranks.count / len(positions)
        own = own if len(own) else positions[:1]
        return Batch(self._gather(own), self._targets(own), len(positions), weight)


class EvaluationBatches:
    """The samples of ``rows``, all of them as a rule, once and in their own order."""

    def __init__(self, samples: Samples, batch_size: int, rows: slice = slice(None)) -> None:
        self._gather, self._targets = _gatherer(samples.inputs[rows]), _gatherer(_learnt(samples)[rows])
        self._count = len(samples.targets[rows])
        self._batch_size, self._unread = batch_size, not isinstance(samples.inputs, np.ndarray)

    def __len__(self) -> int:
        return -(-self._count // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()
        return _ahead(batches) if self._unread else batches

    def _batches(self) -> Iterator[Batch]:
        for start in range(0, self._count, self._batch_size):
            rows = slice(start, start + self._batch_size)
            targets = self._targets(rows)
            yield Batch(self._gather(rows), targets, len(targets))


def _learnt(samples: Samples) -> Indices | StoredInputs:
    """What a network learns: masks where there are any, else classes."""
    return samples.targets if samples.masks is None else samples.masks


def _gatherer(inputs: Floats | Indices | StoredInputs) -> Callable[[Tensor | slice], Tensor]:
    if isinstance(inputs, np.ndarray):
        tensor = torch.from_numpy(inputs)
        return lambda rows: tensor[rows]
    return lambda rows: torch.from_numpy(inputs.gather(rows if isinstance(rows, slice) else rows.numpy()))


def _largest_block(samples: Samples, batch_size: int) -> int:
    """The batches of a block of samples that are read for it: few enough to be held beside the network."""
    if isinstance(samples.inputs, np.ndarray):
        return sys.maxsize
    sample_bytes = samples.inputs.sample_bytes + (0 if samples.masks is None else samples.masks.sample_bytes)
    return max(1, _BLOCK_BYTES // (batch_size * sample_bytes))


_Item = TypeVar("_Item")


def _ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Make each item while the one before it is being used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        coming = reader.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, iterator, end)
            yield item  # type: ignore[misc]


def _batches(inputs: Tensor, targets: Tensor, size: int) -> Iterator[Batch]:
    pairs = zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
    return (Batch(inputs, targets, len(targets)) for inputs, targets in pairs)
