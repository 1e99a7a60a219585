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
from seedfold.trainers.learning.validation import TRAINING, VALIDATION, metric_column, validation_metrics
from seedfold.trainers.setup.randomness import make_generator

# The stream of the seed for augmentation in prediction, separate from those of training.
_PREDICT_STREAM = 4
# The names of the loss; ``train/loss`` is the mean over the batches of the epoch, while the weights changed.
_LOSS_NAMES = {VALIDATION: "loss", TRAINING: "eval_loss"}
_Outputs = list[tuple[Heads, Tensor]]


class Classifier(Learner):
    """Trains a network with one or several heads, and scores the whole validation split at once.

    If the recipe says so, the second part of a validation pass scores training samples.
    """

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: TrainingRecipe, position: Position) -> None:
        super().__init__(network, loss, recipe, position)
        self.first_batch = 0
        """The number of the first batch that this process predicts."""
        self._outputs: list[_Outputs] = []
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
        self._outputs = [[] for _ in self._scored_splits]

    @property
    def _scored_splits(self) -> tuple[str, ...]:
        return (VALIDATION, TRAINING) if self.recipe.scores_training else (VALIDATION,)

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Keep the logits of the batch. Lightning gives the number of the part by this name."""
        self._outputs[dataloader_idx].append(
            ({name: logits.float() for name, logits in self(batch.scaled_inputs()).items()}, batch.targets)
        )

    def on_validation_epoch_end(self) -> None:
        """Score each part at once, as every process of the job does."""
        values: dict[str, float] = {}
        for split, outputs in zip(self._scored_splits, self._outputs, strict=True):
            values |= self.score_outputs(split, self._gather_outputs(outputs))
        self.record_validation(values)

    def score_outputs(self, split: str, outputs: _Outputs) -> dict[str, float]:
        """Return the loss and the metrics of a part, from all its logits; raises NonFiniteFailure."""
        heads = {name: torch.cat([part[name] for part, _ in outputs]) for name in outputs[0][0]}
        targets, loss_name = torch.cat([targets for _, targets in outputs]), _LOSS_NAMES[split]
        self._heads = list(heads)
        kind = "validation loss" if split == VALIDATION else "loss of training samples"
        loss = self.require_finite(float(self.loss(heads, targets)), kind)
        losses = {f"{split}/{loss_name}": loss, **self._losses_by_head(heads, targets, split)}
        return losses | validation_metrics(heads, targets, self.recipe.metrics, split)

    def _losses_by_head(self, heads: Heads, targets: Tensor, split: str) -> dict[str, float]:
        """Return the loss of each head, if there are several."""
        if len(heads) == 1:
            return {}
        return {
            metric_column(name, heads, _LOSS_NAMES[split], split): float(self.loss.function(each, targets))
            for name, each in heads.items()
        }

    def head_monitor_values(self, row: Mapping[str, float]) -> dict[str, float]:
        """Return the value that decides on each head's best epoch; empty if heads have no best epochs of their own."""
        metric = self.recipe.head_monitor
        if metric is None:
            return {}
        return {
            head: monitored_value(row, metric_column(head, self._heads, metric), "head_monitor") for head in self._heads
        }

    def _gather_outputs(self, outputs_of_rank: _Outputs) -> _Outputs:
        if self.recipe.ranks.count == 1:
            return outputs_of_rank
        own_outputs = move_data_to_device(outputs_of_rank, "cpu")
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
