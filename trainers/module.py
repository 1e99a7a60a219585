"""The Lightning module of every classifier: a network, a loss, an optimizer and a schedule from the configuration.

Optimisation is manual, so that a step, its place in the epoch and the schedule are the module's own: they can be
taken down after any step and continued exactly (see `seedfold.trainers.checkpointing`). Epoch means are
accumulated in `Position`, not by Lightning.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from seedfold.jobs.work import ConfigFailure, NonFiniteFailure
from seedfold.trainers.augment import Augment
from seedfold.trainers.data.batches import Batch, Block, Position
from seedfold.trainers.losses import HeadsLoss
from seedfold.trainers.randomness import generator
from seedfold.trainers.ranks import ALONE, Ranks
from seedfold.trainers.settings import Mode
from seedfold.trainers.transforms import of_prediction
from seedfold.trainers.validation import MAIN_HEAD, head_column, head_metrics

_log = logging.getLogger(__name__)

Heads = dict[str, Tensor]

# Streams of the seed for augmentation, apart from those that order the data.
_TRAIN_STREAM, _PREDICT_STREAM = 3, 4


@dataclass(frozen=True)
class Recipe:
    """How a classifier learns; ``steps`` is the number of batches an epoch. See `TrainerSettings` for the rest."""

    optimizer: Callable[..., Optimizer]
    schedule: Callable[[Optimizer], LRScheduler] | None
    steps: int
    seed: int
    accumulate: int = 1
    clip: float | None = None
    monitor: str = "val/loss"
    head_monitor: str | None = None
    head_mode: Mode = "max"
    metrics: tuple[str, ...] = ()
    augment: Augment | None = None
    micro_batch: int | None = None
    tta: int = 1
    ranks: Ranks = ALONE


class Classifier(pl.LightningModule):
    """Trains a network with one or several heads; ``position`` says how far it is and holds the metric history."""

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: Recipe, position: Position) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.loss, self.recipe, self.position = network, loss, recipe, position
        self.after_step: Callable[[], None] = lambda: None
        self.first_batch = 0
        """The number of the first batch that this process predicts."""
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._validated: list[tuple[Heads, Tensor]] = []
        self._heads: list[str] = []

    def forward(self, inputs: Tensor) -> Heads:
        """Return the logits (n, k) of each head."""
        output = self.network(inputs)
        heads = {MAIN_HEAD: output} if isinstance(output, Tensor) else dict(output)
        return {name: logits if logits.ndim == 2 else logits.reshape(-1, 1) for name, logits in heads.items()}

    def configure_optimizers(self) -> Any:
        """Build the optimizer and, if there is one, the schedule."""
        try:
            optimizer = self.recipe.optimizer(self.network.parameters())
            schedules = [] if self.recipe.schedule is None else [self.recipe.schedule(optimizer)]
        except (TypeError, ValueError) as error:
            raise ConfigFailure(f"optimizer or schedule: {error}") from error
        return [optimizer], schedules

    def on_train_start(self) -> None:
        """Continue the loss sum of a begun epoch."""
        begun = self.position.loss_sum if self.recipe.ranks.first else 0.0
        self._loss_sum = torch.tensor(begun, dtype=torch.float64, device=self._sum_device)

    @property
    def _sum_device(self) -> torch.device:
        return torch.device(self.device)

    def training_step(self, block: Block, block_index: int) -> None:
        """Learn from each batch of the block in turn."""
        optimizer = self.optimizers()
        for offset, batch in enumerate(block.batches):
            self._learn(batch, block.first + offset, optimizer)
        self.settle()

    def _learn(self, batch: Batch, step: int, optimizer: Any) -> None:
        inputs = batch.scaled_inputs()
        if self.recipe.augment is not None:
            own = [self.recipe.ranks.rank] if self.recipe.ranks.count > 1 else []
            stream = generator(self.device, self.recipe.seed, _TRAIN_STREAM, self.position.epoch, step, *own)
            inputs = self.recipe.augment(inputs, stream)
        window = self._window(step)
        for part_inputs, part_targets, weight in self._parts(inputs, batch):
            loss = self.loss(self(part_inputs), part_targets)
            part = loss if window == 1 else loss / window
            self.manual_backward(part if weight == 1 else part * weight)
            self._loss_sum += loss.detach() * (weight * batch.whole / self.recipe.ranks.count)
        self.position.seen += batch.whole
        self.position.step = step + 1
        if self._ends_window(step):
            if self.recipe.clip is not None:
                self.clip_gradients(optimizer, self.recipe.clip, "norm")
            optimizer.step()
            optimizer.zero_grad()
            self.after_step()

    def _parts(self, inputs: Tensor, batch: Batch) -> Iterator[tuple[Tensor, Tensor, float]]:
        """Split what this process has of a batch into parts that fit its memory, each with the weight of its mean."""
        number = self._number_of_parts(batch.whole)
        parts = zip(inputs.tensor_split(number), batch.targets.tensor_split(number), strict=True)
        for part_inputs, targets in parts:
            yield part_inputs, targets, batch.weight * (len(targets) / len(inputs))

    def _number_of_parts(self, whole: int) -> int:
        """The same for all processes, since they do each backward pass together; no part is empty."""
        count, size = self.recipe.ranks.count, self.recipe.micro_batch
        return 1 if size is None else min(math.ceil(whole / count / size), max(1, whole // count))

    def _window(self, step: int) -> int:
        start = step - step % self.recipe.accumulate
        return min(self.recipe.accumulate, self.recipe.steps - start)

    def _ends_window(self, step: int) -> bool:
        return (step + 1) % self.recipe.accumulate == 0 or step + 1 == self.recipe.steps

    def settle(self) -> None:
        """Bring the position's loss sum up to date; raises NonFiniteFailure if a loss was not finite."""
        total = self.recipe.ranks.sum(float(self._loss_sum))
        if not math.isfinite(total):
            raise NonFiniteFailure(
                f"training loss became {total} in epoch {self.position.epoch}, at or before batch {self.position.step};"
                " a lower learning rate or trainer.clip may help"
            )
        self.position.loss_sum = total

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation pass."""
        self._validated = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the logits of the batch."""
        self._validated.append(
            ({name: logits.float() for name, logits in self(batch.scaled_inputs()).items()}, batch.targets)
        )

    def on_validation_epoch_end(self) -> None:
        """Score the whole split at once, as every process of the job does."""
        validated = self._all_validated()
        heads = {name: torch.cat([part[name] for part, _ in validated]) for name in validated[0][0]}
        targets = torch.cat([targets for _, targets in validated])
        loss = float(self.loss(heads, targets))
        if not math.isfinite(loss):
            raise NonFiniteFailure(f"validation loss became {loss} in epoch {self.position.epoch}")
        self._heads = list(heads)
        self.validation = {"val/loss": loss, **self._head_losses(heads, targets)}
        self.validation |= head_metrics(heads, targets, self.recipe.metrics)
        self.log_dict(self.validation, logger=False, batch_size=1)

    def _head_losses(self, heads: Heads, targets: Tensor) -> dict[str, float]:
        """Each head's own loss, where there are several."""
        if len(heads) == 1:
            return {}
        return {
            head_column(name, heads, "loss"): float(self.loss.function(each, targets)) for name, each in heads.items()
        }

    def head_values(self, row: Mapping[str, float]) -> dict[str, float]:
        """Return what decides on each head's own best epoch; empty if heads have none of their own."""
        metric = self.recipe.head_monitor
        if metric is None:
            return {}
        return {head: monitored(row, head_column(head, self._heads, metric), "head_monitor") for head in self._heads}

    def _all_validated(self) -> list[tuple[Heads, Tensor]]:
        if self.recipe.ranks.count == 1:
            return self._validated
        own = move_data_to_device(self._validated, "cpu")
        of_all = [validated for of_rank in self.recipe.ranks.gather(own) for validated in of_rank]
        return move_data_to_device(of_all, self.device)  # type: ignore[no-any-return]

    def on_train_epoch_end(self) -> None:
        """Write the epoch's row, tell the loggers, step the schedule and move on to the next epoch."""
        self.settle()
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
            schedule.step(monitored(row, self.recipe.monitor))
        elif schedule is not None:
            schedule.step()  # type: ignore[union-attr]

    def predict_step(self, batch: Batch, batch_index: int) -> Heads:
        """Return the logits of the batch, or the log of the probabilities averaged over ``tta`` augmented passes."""
        inputs = batch.scaled_inputs()
        if self.recipe.tta == 1 or self.recipe.augment is None:
            return {name: logits.float().cpu() for name, logits in self(inputs).items()}
        place = self.first_batch + batch_index
        passes = [self._augmented_pass(inputs, place, number) for number in range(self.recipe.tta)]
        return {name: _mean_logits(torch.stack([heads[name] for heads in passes])) for name in passes[0]}

    def _augmented_pass(self, inputs: Tensor, batch_index: int, number: int) -> Heads:
        assert self.recipe.augment is not None
        stream = generator(self.device, self.recipe.seed, _PREDICT_STREAM, number, batch_index)
        augmented = of_prediction(self.recipe.augment)(inputs, stream)
        return {name: logits.double().cpu() for name, logits in self(augmented).items()}


def monitored(row: Mapping[str, float], monitor: str, key: str = "monitor") -> float:
    """Return the watched metric of an epoch; raises ConfigFailure if there is none of that name."""
    if monitor not in row:
        raise ConfigFailure(f"trainer.{key}: no metric {monitor!r}; known: {', '.join(row)}")
    return row[monitor]


def _mean_logits(passes: Tensor) -> Tensor:
    """Average probabilities over passes (p, n, k) and return logits (n, k) float32 of the mean."""
    if passes.shape[2] == 1:
        return torch.logit(passes.sigmoid().mean(0), eps=1e-12).float()
    return (passes.log_softmax(2).logsumexp(0) - math.log(len(passes))).float()
