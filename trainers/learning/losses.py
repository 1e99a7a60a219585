"""Losses of a classifier, with class weights and label smoothing, and their sum over several heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure

Heads = Mapping[str, Tensor]


class CrossEntropy(nn.Module):
    """Cross-entropy of logits (n, k), k ≥ 2, against class numbers (n,).

    It is the mean over the batch, weighted by ``class_weights`` (k values, None for equal); ``label_smoothing``
    in 0 … 1 moves that share of each target to all classes evenly, as `torch.nn.functional.cross_entropy` does.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("class_weights", _to_weight_tensor(class_weights), persistent=False)
        self.label_smoothing = _require_smoothing(label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""
        _check_width(self.class_weights, logits.shape[1], minimum=2)
        return functional.cross_entropy(
            logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
        )


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of one logit (n, 1) against class numbers 0 and 1 (n,).

    The target t becomes t · (1 - s) + s / 2 with smoothing s (Szegedy et al., CVPR 2016, section 7, for two classes).
    With ``class_weights`` (two values) the mean is weighted by the class of each sample, as in `CrossEntropy`.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("class_weights", _to_weight_tensor(class_weights), persistent=False)
        self.label_smoothing = _require_smoothing(label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar; raises ConfigFailure if there is not exactly one logit."""
        if logits.shape[1] != 1:
            raise ConfigFailure(f"loss: binary cross-entropy needs heads of one logit, not {logits.shape[1]}")
        _check_width(self.class_weights, 2, minimum=2)
        smooth = targets.to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits[:, 0], smooth, reduction="none")
        if self.class_weights is None:
            return losses.mean()
        weights = self.class_weights[targets]
        return (losses * weights).sum() / weights.sum()


class HeadsLoss(nn.Module):
    """The sum of one loss over all heads, each times its weight (1 unless ``head_weights`` names it)."""

    def __init__(self, function: nn.Module, head_weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.function = function
        self.head_weights = dict(head_weights or {})

    def forward(self, heads: Heads, targets: Tensor) -> Tensor:
        """Return the summed loss, a scalar; raises ConfigFailure for a weight that names no head."""
        for name in self.head_weights:
            if name not in heads:
                raise ConfigFailure(f"loss.head_weights.{name}: the model has no such head{did_you_mean(name, heads)}")
        parts = [self.head_weights.get(name, 1.0) * self.function(logits, targets) for name, logits in heads.items()]
        return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def _to_weight_tensor(values: Sequence[float] | None) -> Tensor | None:
    return None if values is None else torch.tensor(list(values), dtype=torch.float32)


def _require_smoothing(value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigFailure(f"loss.function.label_smoothing: {value} is not between 0 and 1")
    return value


def _check_width(weights: Tensor | None, classes: int, minimum: int) -> None:
    if classes < minimum:
        raise ConfigFailure(f"loss: cross-entropy needs heads of at least {minimum} logits, not {classes}")
    if weights is not None and len(weights) != classes:
        raise ConfigFailure(f"loss.class_weights: {len(weights)} weights for {classes} classes")
