"""The Lightning module of every classifier; see `seedfold.trainers.learning.learner` for how it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from seedfold.trainers.augmentation.transforms import prediction_augmentation
from seedfold.trainers.data.batches import Batch, Position
from seedfold.trainers.learning.learner import Learner, TrainingRecipe, monitored_value
from seedfold.trainers.learning.logits import Heads, to_logits_by_head
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.learning.validation import metric_column, validation_metrics
from seedfold.trainers.setup.randomness import make_generator

# The stream of the seed for augmentation in prediction, separate from those of training.
_PREDICT_STREAM = 4


class Classifier(Learner):
    """Trains a network with one or several heads, and scores the whole validation split at once."""

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: TrainingRecipe, position: Position) -> None:
        super().__init__(network, loss, recipe, position)
        self.first_batch = 0
        """The number of the first batch that this process predicts."""
        self._validation_outputs: list[tuple[Heads, Tensor]] = []
        self._heads: list[str] = []

    def forward(self, inputs: Tensor) -> Heads:
        """Return the logits (n, k) of each head."""
        return to_logits_by_head(self.network(inputs), len(inputs), self.recipe.classes)

    def augment_batch(self, inputs: Tensor, targets: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return augmented inputs of the same classes."""
        assert self.recipe.augment is not None
        return self.recipe.augment(inputs, stream), targets

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation pass."""
        self._validation_outputs = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the logits of the batch."""
        self._validation_outputs.append(
            ({name: logits.float() for name, logits in self(batch.scaled_inputs()).items()}, batch.targets)
        )

    def on_validation_epoch_end(self) -> None:
        """Score the whole split at once, as every process of the job does."""
        validated = self._gather_outputs()
        heads = {name: torch.cat([part[name] for part, _ in validated]) for name in validated[0][0]}
        targets = torch.cat([targets for _, targets in validated])
        loss = self.require_finite(float(self.loss(heads, targets)))
        self._heads = list(heads)
        losses = {"val/loss": loss, **self._losses_by_head(heads, targets)}
        self.record_validation(losses | validation_metrics(heads, targets, self.recipe.metrics))

    def _losses_by_head(self, heads: Heads, targets: Tensor) -> dict[str, float]:
        """Return the loss of each head, if there are several."""
        if len(heads) == 1:
            return {}
        return {
            metric_column(name, heads, "loss"): float(self.loss.function(each, targets)) for name, each in heads.items()
        }

    def head_monitor_values(self, row: Mapping[str, float]) -> dict[str, float]:
        """Return the value that decides on each head's best epoch; empty if heads have no best epochs of their own."""
        metric = self.recipe.head_monitor
        if metric is None:
            return {}
        return {
            head: monitored_value(row, metric_column(head, self._heads, metric), "head_monitor") for head in self._heads
        }

    def _gather_outputs(self) -> list[tuple[Heads, Tensor]]:
        if self.recipe.ranks.count == 1:
            return self._validation_outputs
        own_outputs = move_data_to_device(self._validation_outputs, "cpu")
        outputs = [validated for of_rank in self.recipe.ranks.gather(own_outputs) for validated in of_rank]
        return move_data_to_device(outputs, self.device)  # type: ignore[no-any-return]

    def predict_step(self, batch: Batch, batch_index: int) -> Heads:
        """Return the logits of the batch, or the log of the probabilities averaged over ``tta`` augmented passes."""
        inputs = batch.scaled_inputs()
        if self.recipe.tta == 1 or self.recipe.augment is None:
            return {name: logits.float().cpu() for name, logits in self(inputs).items()}
        batch_number = self.first_batch + batch_index
        passes = [self._predict_augmented(inputs, batch_number, number) for number in range(self.recipe.tta)]
        return {name: _average_passes(torch.stack([heads[name] for heads in passes])) for name in passes[0]}

    def _predict_augmented(self, inputs: Tensor, batch_index: int, number: int) -> Heads:
        assert self.recipe.augment is not None
        stream = make_generator(self.device, self.recipe.seed, _PREDICT_STREAM, number, batch_index)
        augmented = prediction_augmentation(self.recipe.augment)(inputs, stream)
        return {name: logits.double().cpu() for name, logits in self(augmented).items()}


def _average_passes(passes: Tensor) -> Tensor:
    """Average probabilities over passes (p, n, k) and return logits (n, k) float32 of the mean."""
    if passes.shape[2] == 1:
        return torch.logit(passes.sigmoid().mean(0), eps=1e-12).float()
    return (passes.log_softmax(2).logsumexp(0) - math.log(len(passes))).float()
