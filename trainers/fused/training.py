"""Trains several jobs together: their networks of one shape are stacked, and one step moves all of them.

Each replica has its own data, order, random streams, schedule, early stopping and files. One that ends or fails
leaves the others. What one step computes agrees with the step of a job alone, up to the order in which numbers are
added.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import torch
from torch import Tensor, nn

from seedfold.jobs.work import NonFiniteFailure, RunInterrupted
from seedfold.trainers.data.batches import Position
from seedfold.trainers.fused.optimizers import optimizer_refusal
from seedfold.trainers.fused.replica import Replica
from seedfold.trainers.fused.stack import Stack
from seedfold.trainers.learning import training
from seedfold.trainers.learning.logits import to_logits_by_head

MEASURED_STEPS = 30
"""The most steps of an epoch that are measured to find out what is faster."""
_log = logging.getLogger(__name__)


def shape_refusal(replicas: Sequence[Replica]) -> str | None:
    """Return why the networks of these replicas cannot be stacked; None if they can."""
    shapes = [
        {name: (tuple(each.shape), each.dtype) for name, each in replica.network.state_dict().items()}
        for replica in replicas
    ]
    if any(one != shapes[0] for one in shapes):
        return "model: the networks have other shapes"
    if len({id(each) for each in replicas[0].network.parameters()}) != len(
        list(replicas[0].network.named_parameters(remove_duplicate=False))
    ):
        return "model: layers share weights"
    if not all(each.requires_grad and each.dtype == torch.float32 for each in replicas[0].network.parameters()):
        return "model: some weights are frozen, or not of single precision"
    return optimizer_refusal([replica.optimizer for replica in replicas])


def try_step(replicas: Sequence[Replica]) -> str | None:
    """Learn from one batch with copies of all networks; return why that is not possible, None if it is."""
    try:
        _Measurement(replicas, 1).together()
    except Exception as error:
        return f"model: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def measure(replicas: Sequence[Replica]) -> tuple[float, float]:
    """Return the seconds of an epoch of all replicas: of each alone, one after the other, and of all together.

    Copies of the networks learn from the first batches. Of a long epoch only some steps are measured.
    """
    measurement = _Measurement(replicas, MEASURED_STEPS)
    alone, together = measurement.alone(), measurement.together()
    steps = replicas[0].blocks.steps / measurement.count
    return alone * steps, together * steps


class _Measurement:
    """The first batches of an epoch of each replica, and copies of their networks."""

    def __init__(self, replicas: Sequence[Replica], most: int) -> None:
        self._replicas = replicas
        self._batches = [list(islice(_first_batches(replica), most)) for replica in replicas]
        self.count = min(map(len, self._batches))

    def _copies(self) -> list[nn.Module]:
        return [copy.deepcopy(replica.network).train() for replica in self._replicas]

    def _time(self, step: Callable[[int], object]) -> float:
        """Seconds of the CPU, which other processes disturb little."""
        step(0)
        begin = time.process_time()
        for number in range(self.count):
            step(number)
        return time.process_time() - begin

    def alone(self) -> float:
        """Seconds of the steps of the first replica, times the number of replicas."""
        replica, network = self._replicas[0], self._copies()[0]
        recipe, optimizer = replica.module.recipe, replica.module.recipe.optimizer(network.parameters())

        def step(number: int) -> None:
            inputs, targets = self._batches[0][number]
            heads = to_logits_by_head(network(inputs), len(inputs), recipe.classes)
            replica.module.loss(heads, targets).backward()
            optimizer.step()
            optimizer.zero_grad()

        return self._time(step) * len(self._replicas)

    def together(self) -> float:
        """Seconds of the same steps of all replicas together."""
        networks = self._copies()
        optimizers = [
            replica.module.recipe.optimizer(network.parameters())
            for replica, network in zip(self._replicas, networks, strict=True)
        ]
        losses = [replica.module.loss for replica in self._replicas]
        streams = [torch.Generator() for _ in networks]
        stack = Stack(networks, losses, optimizers, streams, self._replicas[0].module.recipe.classes)
        clips = [replica.settings.clip for replica in self._replicas]
        return self._time(lambda number: _step_all(stack, [each[number] for each in self._batches], clips))


def _first_batches(replica: Replica) -> Iterator[tuple[Tensor, Tensor]]:
    for block in training.make_blocks(replica.work.config, replica.data.train, replica.settings, Position()):
        for batch in block.batches:
            yield batch.scaled_inputs(), batch.targets


def _step_all(stack: Stack, batches: Sequence[tuple[Tensor, Tensor]], clips: Sequence[float | None]) -> list[Tensor]:
    """Learn from one batch of each row, those of one shape together; return the losses."""
    rows_of: dict[tuple[int, ...], list[int]] = {}
    for row, (inputs, _) in enumerate(batches):
        rows_of.setdefault(tuple(inputs.shape), []).append(row)
    losses: dict[int, Tensor] = {}
    for rows in rows_of.values():
        inputs = torch.stack([batches[row][0] for row in rows])
        targets = torch.stack([batches[row][1] for row in rows])
        of_rows = stack.step(rows, inputs, targets, [clips[row] for row in rows])
        losses |= dict(zip(rows, of_rows, strict=True))
    return [losses[row] for row in range(len(batches))]


def train(replicas: Sequence[Replica], stop_requested: Callable[[], bool]) -> None:
    """Train all replicas to their ends and record the finished fits.

    A replica that fails, for example because its loss is no number, leaves the others, and its files are those of its
    last state. Raises RunInterrupted when asked to stop, after all have saved their states.
    """
    for replica in replicas:
        if replica.progress.finished:
            replica.record_finished()
    active = [replica for replica in replicas if not replica.progress.finished]
    if not active:
        return
    stack = _stack(active)
    while active := _leave(active, stack):
        batches = [replica.next_batch() for replica in active]
        losses = _step_all(stack, batches, [replica.settings.clip for replica in active])
        for replica, loss, (_, targets) in zip(active, losses, batches, strict=True):
            replica.record_step(loss, len(targets))
        if stop_requested():
            _save_all(active, stack)
            raise RunInterrupted("stopped together with the jobs that trained with it, with a checkpoint")


def _leave(active: Sequence[Replica], stack: Stack) -> list[Replica]:
    """End the epochs that are over; return the replicas that go on, and leave only these in the stack."""
    rows = [row for row, replica in enumerate(active) if _goes_on(replica, stack, row)]
    if rows and len(rows) < len(active):
        stack.keep(rows)
    return [active[row] for row in rows]


def _goes_on(replica: Replica, stack: Stack, row: int) -> bool:
    """End the epoch of a replica if it is over, and save if that is due; return whether the replica goes on."""
    try:
        if replica.is_epoch_over:
            replica.end_epoch(stack, row)
        elif replica.is_due():
            replica.save(stack, row)
        if replica.progress.finished:
            replica.record_finished()
    except Exception as error:
        _log.warning("%s trains on alone: %s: %s", replica.work.description.short_id, type(error).__name__, error)
        return False
    return not replica.progress.finished


def _save_all(active: Sequence[Replica], stack: Stack) -> None:
    """Save all states; a replica whose loss is no number keeps its last one."""
    for row, replica in enumerate(active):
        with suppress(NonFiniteFailure):
            replica.save(stack, row)


def _stack(replicas: Sequence[Replica]) -> Stack:
    return Stack(
        [replica.network for replica in replicas],
        [replica.module.loss for replica in replicas],
        [replica.optimizer for replica in replicas],
        [replica.generator for replica in replicas],
        replicas[0].module.recipe.classes,
    )
