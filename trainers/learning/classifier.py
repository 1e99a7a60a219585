"""The Lightning module of every classifier; see `seedfold.trainers.learning.module` for how it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from seedfold.trainers.augmentation.transforms import of_prediction
from seedfold.trainers.data.batches import Batch, Position
from seedfold.trainers.learning.logits import Heads, logits_by_head
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.learning.module import Learner, Recipe, monitored
from seedfold.trainers.learning.validation import head_column, head_metrics
from seedfold.trainers.setup.randomness import generator

# The stream of the seed for augmentation in prediction, apart from those of training.
_PREDICT_STREAM = 4


class Classifier(Learner):
    """Trains a network with one or several heads, and scores the whole validation split at once."""

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: Recipe, position: Position) -> None:
        super().__init__(network, loss, recipe, position)
        self.first_batch = 0
        """The number of the first batch that this process predicts."""
        self._validated: list[tuple[Heads, Tensor]] = []
        self._heads: list[str] = []

    def forward(self, inputs: Tensor) -> Heads:
        """Return the logits (n, k) of each head."""
        return logits_by_head(self.network(inputs), len(inputs), self.recipe.classes)

    def augmented(self, inputs: Tensor, targets: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return other inputs of the same classes."""
        assert self.recipe.augment is not None
        return self.recipe.augment(inputs, stream), targets

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
        loss = self.finite(float(self.loss(heads, targets)))
        self._heads = list(heads)
        losses = {"val/loss": loss, **self._head_losses(heads, targets)}
        self.note_validation(losses | head_metrics(heads, targets, self.recipe.metrics))

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


def _mean_logits(passes: Tensor) -> Tensor:
    """Average probabilities over passes (p, n, k) and return logits (n, k) float32 of the mean."""
    if passes.shape[2] == 1:
        return torch.logit(passes.sigmoid().mean(0), eps=1e-12).float()
    return (passes.log_softmax(2).logsumexp(0) - math.log(len(passes))).float()
