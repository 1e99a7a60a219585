"""Batches from tensors in memory, gathered a block at a time instead of collated sample by sample.

A block holds several consecutive batches, so that the cost of Lightning's loop is paid once a block and not once
a step; training itself still steps batch by batch, and results do not depend on the size of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.sampling import Order


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
    """Inputs (b, ...) float32 and class targets (b,) int64."""

    inputs: Tensor
    targets: Tensor


class Block(NamedTuple):
    """Consecutive batches of one epoch; ``first`` is the number of the first in the epoch."""

    first: int
    batches: list[Batch]


class TrainingBlocks:
    """The blocks of the epoch that ``position`` is in; batches before ``position.step`` are left out.

    ``most`` limits the batches of all epochs together.
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
    ) -> None:
        self._inputs, self._targets = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
        self._order, self._position = order, position
        self._batch_size, self._block, self._most = batch_size, block, most
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
        done, steps = self._position.step, self._steps_now()
        positions = torch.from_numpy(self._order.of(self._position.epoch))
        for start in range(0, steps, self._block):
            stop = min(start + self._block, steps)
            first = min(max(start, done), stop)
            yield Block(first, self._batches(positions[first * self._batch_size : stop * self._batch_size]))

    def _batches(self, positions: Tensor) -> list[Batch]:
        if not len(positions):
            return []
        return list(_batches(self._inputs[positions], self._targets[positions], self._batch_size))


class EvaluationBatches:
    """All samples once, in their own order."""

    def __init__(self, samples: Samples, batch_size: int) -> None:
        self._inputs, self._targets = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._targets) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return _batches(self._inputs, self._targets, self._batch_size)


def _batches(inputs: Tensor, targets: Tensor, size: int) -> Iterator[Batch]:
    pairs = zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
    return (Batch(*pair) for pair in pairs)
