"""The Lightning module of networks that give a class to every pixel.

How modules learn is described in `seedfold.trainers.learning.learner`.

A validation pass keeps numbers of pixels, not masks: thus metrics are those of the whole split, whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

import torch
from torch import Tensor, nn

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure
from seedfold.results.evaluation.overlaps import METRICS, Overlap
from seedfold.trainers.augmentation.mask_transforms import Levels
from seedfold.trainers.data.batches import Batch, Position
from seedfold.trainers.learning.learner import Learner, TrainingRecipe
from seedfold.trainers.learning.logits import Heads
from seedfold.trainers.learning.losses import HeadsLoss
from seedfold.trainers.learning.validation import MAIN_HEAD


class Segmenter(Learner):
    """Trains a network of one head, logits (n, k, height, width), k ≥ 2, with masks (n, height, width).

    ``val/loss`` is the mean over the batches of the split, weighted by their samples. A metric is the mean over all
    classes but the background, class 0.
    """

    def __init__(self, network: nn.Module, loss: HeadsLoss, recipe: TrainingRecipe, position: Position) -> None:
        if recipe.augment is not None and not isinstance(recipe.augment, Levels):
            raise ConfigFailure(
                "augment: this option changes images without their masks; choose augment=faults or none"
            )
        super().__init__(network, loss, recipe, position)
        self._reset_validation()

    def _reset_validation(self) -> None:
        self._validation_loss, self._validated_samples = 0.0, 0
        self._counts: Tensor | None = None

    def forward(self, inputs: Tensor) -> Heads:
        """Return the logits (n, k, height, width)."""
        return {MAIN_HEAD: self.network(inputs)}

    def augment_batch(self, inputs: Tensor, targets: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return augmented images, with their masks augmented in the same way."""
        assert self.recipe.augment is not None
        images, masks = self.recipe.augment(inputs, targets, stream)
        return images, masks

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation pass."""
        self._reset_validation()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add the batch to the loss and to the numbers of pixels."""
        heads = self(batch.scaled_inputs())
        self._validation_loss += float(self.loss(heads, batch.targets)) * len(batch.targets)
        self._validated_samples += len(batch.targets)
        counts = count_pixels(heads[MAIN_HEAD], batch.targets)
        self._counts = counts if self._counts is None else self._counts + counts

    def on_validation_epoch_end(self) -> None:
        """Score the whole split, as every process of the job does."""
        ranks = self.recipe.ranks
        loss = ranks.sum(self._validation_loss) / ranks.sum(self._validated_samples)
        assert self._counts is not None
        counts = torch.stack([each.cpu() for each in ranks.gather(self._counts.cpu())]).sum(0)
        overlaps = list(starmap(Overlap, counts.tolist()))
        metrics = {f"val/{name}": _mean_over_classes(name, overlaps) for name in self.recipe.metrics}
        self.record_validation({"val/loss": self.require_finite(loss), **metrics})


def count_pixels(logits: Tensor, masks: Tensor) -> Tensor:
    """Count pixels (k - 1, 3) of each class but 0, int64: in both masks, in the predicted one, in the true one."""
    found = logits.argmax(1)
    rows = []
    for number in range(1, logits.shape[1]):
        found_in_class, true = found == number, masks == number
        rows.append(torch.stack([(found_in_class & true).sum(), found_in_class.sum(), true.sum()]))
    return torch.stack(rows)


def _mean_over_classes(metric: str, overlaps: Sequence[Overlap]) -> float:
    return sum(METRICS[metric](overlap) for overlap in overlaps) / len(overlaps)


def check_mask_metrics(names: Sequence[str]) -> None:
    """Raise ConfigFailure for a metric that is not known for masks."""
    for name in names:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise ConfigFailure(f"trainer.metrics: masks have no {name!r}{did_you_mean(name, METRICS)}; known: {known}")
