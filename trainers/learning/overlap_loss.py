"""Losses of segmentation by the overlap of masks, for several classes, as in segmentation_models_pytorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from seedfold.jobs.work import ConfigFailure

_SMALLEST_AREA = 1e-7

OverlapMeasure = Literal["dice", "jaccard"]


class Overlap(nn.Module):
    """One minus the soft Dice coefficient or Jaccard index of logits (n, k, ...), k ≥ 2, and class numbers (n, ...).

    The areas of a class are summed over the batch. A class that no pixel of the batch has contributes 0, whatever the
    network says, as in segmentation_models_pytorch (``DiceLoss`` and ``JaccardLoss``, mode ``multiclass``). Then the
    losses of all k classes, with the background, are averaged, weighted by ``class_weights`` (k values, None: equal).
    See Milletari et al. 2016 for Dice, Wang et al. 2023 (Jaccard Metric Losses) for Jaccard. ``smooth`` is added to
    numerator and denominator.
    """

    class_weights: Tensor | None

    def __init__(
        self, measure: OverlapMeasure, class_weights: Sequence[float] | None = None, smooth: float = 0.0
    ) -> None:
        super().__init__()
        if measure not in get_args(OverlapMeasure):
            raise ConfigFailure(
                f"loss.function.measure: {measure!r} is not one of {', '.join(get_args(OverlapMeasure))}"
            )
        try:
            from monai.losses.dice import DiceLoss
        except ImportError as error:
            raise ConfigFailure(f"loss: {measure} needs MONAI ({error}); pip install 'seedfold[images]'") from error
        weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self._of_classes = DiceLoss(
            to_onehot_y=True, softmax=True, batch=True, jaccard=measure == "jaccard", reduction="none",
            smooth_nr=smooth, smooth_dr=max(smooth, _SMALLEST_AREA),
        )  # fmt: skip

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar; raises ConfigFailure unless there are logits for each pixel and class."""
        if logits.shape[1] < 2 or logits.shape[2:] != targets.shape[1:]:
            raise ConfigFailure(
                f"loss: overlap needs logits of at least 2 classes for masks {tuple(targets.shape[1:])}, not"
                f" {tuple(logits.shape[1:])}"
            )
        if self.class_weights is not None and len(self.class_weights) != logits.shape[1]:
            raise ConfigFailure(f"loss.class_weights: {len(self.class_weights)} weights for {logits.shape[1]} classes")
        # Not in half precision, which cannot represent the areas of large masks.
        losses: Tensor = self._of_classes(logits.float(), targets[:, None]).flatten()
        present = torch.stack([(targets == number).any() for number in range(logits.shape[1])])
        losses = losses * present
        weights = torch.ones_like(losses) if self.class_weights is None else self.class_weights
        mean: Tensor = (losses * weights).sum() / weights.sum()
        return mean
