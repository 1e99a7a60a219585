"""The base of the Lightning modules: a network learns with a loss, optimizer and schedule from the configuration.

Optimisation is manual, so that the module itself controls the step, its place in the epoch and the schedule: training
can be saved after any step and continued exactly (see `seedfold.trainers.learning.training_state`). Epoch means are
accumulated in `Position`, not by Lightning.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seedfold.jobs.work import ConfigFailure, NonFiniteFailure
from seedfold.trainers.data.batches import Batch, Block, Position, steps_of_epoch
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.setup.randomness import make_generator
from seedfold.trainers.setup.ranks import SINGLE_RANK, Ranks
from seedfold.trainers.setup.settings import MonitorMode

_log = logging.getLogger(__name__)

TRAIN_STREAM = 3
"""The stream of the seed for augmentation, separate from those that order the data."""


@dataclass(frozen=True)
class TrainingRecipe:
    """How a network learns; ``steps_per_epoch`` is the number of batches per epoch, ``classes`` those of the task.

    ``max_steps`` limits the batches of all epochs together. See `TrainerSettings` for the rest.
    """

    optimizer: Callable[..., Optimizer]
    schedule: Callable[[Optimizer], LRScheduler] | None
    steps_per_epoch: int
    seed: int
    max_steps: int | None = None
    accumulate: int = 1
    clip: float | None = None
    monitor: str = "val/loss"
    head_monitor: str | None = None
    head_mode: MonitorMode = "max"
    metrics: tuple[str, ...] = ()
    augment: Callable[..., Any] | None = None
    micro_batch: int | None = None
    halvings: int = 0
    """How often the micro-batch is halved, because the GPU had too little memory; the step is of the same samples."""
    tta: int = 1
    scores_training: bool = False
    """Whether a validation pass has a second part, of training samples."""
    ranks: Ranks = SINGLE_RANK
    classes: int | None = None


class Learner(pl.LightningModule, ABC):
    """Trains a network; ``position`` says how far it is and holds the metric history.

    A subclass defines what the network returns by head (`forward`) and how a batch is augmented, and writes the metrics
    of a validation pass to ``validation``.
    """

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: TrainingRecipe, position: Position) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.loss, self.recipe, self.position = network, loss, recipe, position
        self.after_step: Callable[[], None] = lambda: None
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self.validation: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        """Build the optimizer and, if there is one, the schedule."""
        try:
            optimizer = self.recipe.optimizer(self.network.parameters())
            schedules = [] if self.recipe.schedule is None else [self.recipe.schedule(optimizer)]
        except (TypeError, ValueError) as error:
            raise ConfigFailure(f"optimizer or schedule: {error}") from error
        return [optimizer], schedules

    def on_train_start(self) -> None:
        """Continue the loss sum of an epoch that has begun."""
        if self.recipe.halvings:
            _log.info("the GPU had too little memory: each batch in %d times as many parts", 1 << self.recipe.halvings)
        loss_sum = self.position.loss_sum if self.recipe.ranks.is_first else 0.0
        self._loss_sum = torch.tensor(loss_sum, dtype=torch.float64, device=self._sum_device)

    @property
    def _sum_device(self) -> torch.device:
        return torch.device(self.device)

    def training_step(self, block: Block, block_index: int) -> None:
        """Learn from each batch of the block in turn."""
        optimizer = self.optimizers()
        for offset, batch in enumerate(block.batches):
            self._train_on_batch(batch, block.first + offset, optimizer)
        self.update_loss_sum()

    def _train_on_batch(self, batch: Batch, step: int, optimizer: Any) -> None:
        inputs, targets = batch.scaled_inputs(), batch.targets
        if self.recipe.augment is not None:
            rank_numbers = [self.recipe.ranks.rank] if self.recipe.ranks.count > 1 else []
            stream = make_generator(
                self.device, self.recipe.seed, TRAIN_STREAM, self.position.epoch, step, *rank_numbers
            )
            inputs, targets = self.augment_batch(inputs, targets, stream)
        window = self._window_length(step)
        for part_inputs, part_targets, weight in self._split_into_micro_batches(inputs, targets, batch):
            loss = self.loss(self(part_inputs), part_targets)
            part = loss if window == 1 else loss / window
            self.manual_backward(part if weight == 1 else part * weight)
            self._loss_sum += loss.detach() * (weight * batch.total_samples / self.recipe.ranks.count)
        self.position.seen += batch.total_samples
        self.position.step = step + 1
        if self._ends_window(step):
            if self.recipe.clip is not None:
                self.clip_gradients(optimizer, self.recipe.clip, "norm")
            optimizer.step()
            optimizer.zero_grad()
            self.after_step()

    def _split_into_micro_batches(
        self, inputs: Tensor, targets: Tensor, batch: Batch
    ) -> Iterator[tuple[Tensor, Tensor, float]]:
        """Split this process's share of a batch into parts that fit into memory, each with the weight of its mean."""
        number = self._micro_batch_count(batch.total_samples)
        parts = zip(inputs.tensor_split(number), targets.tensor_split(number), strict=True)
        for part_inputs, part_targets in parts:
            yield part_inputs, part_targets, batch.weight * (len(part_targets) / len(inputs))

    def _micro_batch_count(self, batch_size: int) -> int:
        """Return the number of parts, which all processes share: each backward pass is done together. None is empty."""
        count, size = self.recipe.ranks.count, self.recipe.micro_batch
        parts = 1 if size is None else math.ceil(batch_size / count / size)
        return min(parts << self.recipe.halvings, max(1, batch_size // count))

    def _window_length(self, step: int) -> int:
        start = step - step % self.recipe.accumulate
        return min(self.recipe.accumulate, self._steps_of_epoch() - start)

    def _ends_window(self, step: int) -> bool:
        return (step + 1) % self.recipe.accumulate == 0 or step + 1 == self._steps_of_epoch()

    def _steps_of_epoch(self) -> int:
        return steps_of_epoch(self.recipe.steps_per_epoch, self.recipe.max_steps, self.position.epoch)

    def update_loss_sum(self) -> None:
        """Bring the position's loss sum up to date; raises NonFiniteFailure if a loss was not finite."""
        total = self.recipe.ranks.sum(float(self._loss_sum))
        if not math.isfinite(total):
            raise NonFiniteFailure(
                f"training loss became {total} in epoch {self.position.epoch}, at or before batch {self.position.step};"
                " a lower learning rate or trainer.clip may help"
            )
        self.position.loss_sum = total

    @abstractmethod
    def augment_batch(self, inputs: Tensor, targets: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an augmented batch, drawn from ``stream``; only called if there is augmentation."""

    def require_finite(self, loss: float, name: str = "validation loss") -> float:
        """Return a loss; raises NonFiniteFailure with its name if it is not finite."""
        if not math.isfinite(loss):
            raise NonFiniteFailure(f"{name} became {loss} in epoch {self.position.epoch}")
        return loss

    def record_validation(self, values: dict[str, float]) -> None:
        """Record the metrics of a validation pass."""
        self.validation = values
        self.log_dict(values, logger=False, batch_size=1)

    def head_monitor_values(self, row: Mapping[str, float]) -> dict[str, float]:
        """Return the value that decides on each head's best epoch; empty if heads have no best epochs of their own."""
        return {}

    def on_train_epoch_end(self) -> None:
        """Write the epoch's row, tell the loggers, step the schedule and move on to the next epoch."""
        self.update_loss_sum()
        row = {"epoch": self.position.epoch, **self._learning_rate()}
        row |= {"train/loss": self.position.loss_sum / self.position.seen, **self.validation}
        for logger in self.loggers:
            logger.log_metrics({key: value for key, value in row.items() if key != "epoch"}, step=self.position.epoch)
        self.log_dict({"train/loss": row["train/loss"]}, logger=False, batch_size=1)  # for callbacks that watch it
        self._step_schedule(row)
        _log.info("%s", "  ".join(f"{key} {value:.6g}" for key, value in row.items()))
        self.position.next_epoch(row)
        self._loss_sum.zero_()

    def _learning_rate(self) -> Mapping[str, float]:
        return {"lr": float(self.optimizers().optimizer.param_groups[0]["lr"])}  # type: ignore[union-attr]

    def _step_schedule(self, row: Mapping[str, float]) -> None:
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(monitored_value(row, self.recipe.monitor))
        elif schedule is not None:
            schedule.step()  # type: ignore[union-attr]


def monitored_value(row: Mapping[str, float], monitor: str, key: str = "monitor") -> float:
    """Return the monitored metric of an epoch; raises ConfigFailure if there is none of that name."""
    if monitor not in row:
        raise ConfigFailure(f"trainer.{key}: no metric {monitor!r}; known: {', '.join(row)}")
    return row[monitor]
