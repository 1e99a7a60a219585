"""The losses of stacked networks: each replica has its own loss, with its own class weights and label smoothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seedfold.trainers.learning.losses import CrossEntropy, HeadsLoss


def stacked_loss(losses: Sequence[HeadsLoss], heads: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    """Return the loss (r,) of each replica: ``losses`` are those of the replicas, logits are (r, b, k), targets (r, b).

    Cross-entropy is computed for all replicas at once, any other loss for one after the other.
    """
    functions = [loss.function for loss in losses]
    # A weight that names no head is an error that the loss itself tells.
    if all(type(one) is CrossEntropy for one in functions) and not any(loss.head_weights for loss in losses):
        parts = [_cross_entropy(functions, logits, targets) for logits in heads.values()]  # type: ignore[arg-type]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
    return torch.stack(
        [loss({name: logits[row] for name, logits in heads.items()}, targets[row]) for row, loss in enumerate(losses)]
    )


def _cross_entropy(losses: Sequence[CrossEntropy], logits: Tensor, targets: Tensor) -> Tensor:
    """As `torch.nn.functional.cross_entropy` of each replica, with the mean weighted by the class of each sample."""
    replicas, samples, classes = logits.shape
    if all(loss.class_weights is None and loss.label_smoothing == 0 for loss in losses):
        each = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return each.view(replicas, samples).mean(1)
    equal = torch.ones(classes, device=logits.device)
    weights = torch.stack([equal if loss.class_weights is None else loss.class_weights.to(equal) for loss in losses])
    smoothing = torch.tensor([loss.label_smoothing for loss in losses], device=logits.device)
    log_shares = logits.log_softmax(2)
    of_target = weights.gather(1, targets)
    hard = -(log_shares.gather(2, targets[:, :, None])[:, :, 0] * of_target).sum(1)
    soft = -(log_shares * weights[:, None]).sum((1, 2))
    return ((1 - smoothing) * hard + smoothing / classes * soft) / of_target.sum(1)
