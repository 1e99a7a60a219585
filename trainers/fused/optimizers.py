"""Optimizers of stacked weights: one row of numbers for each replica, each with its own rate and weight decay.

The arithmetic is that of `torch.optim` for one network, in the same order. Hyper-parameters and states are taken from
the replicas' own optimizers and given back to them, so that checkpoints are those of a network that trains alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

_UNUSED = {"amsgrad": False, "maximize": False, "dampening": 0}
"""Options of torch's optimizers that are not computed here, with the value at which they do nothing."""
_OF_REPLICA = ("lr", "weight_decay", "initial_lr", "params")
_HOW = ("foreach", "fused", "capturable", "differentiable")


def optimizer_refusal(optimizers: Sequence[Optimizer]) -> str | None:
    """Return why these optimizers cannot be stacked; None if they can."""
    kind = type(optimizers[0])
    if kind not in _KINDS or any(type(one) is not kind for one in optimizers):
        return f"optimizer: {kind.__name__} is not one of {', '.join(known.__name__ for known in _KINDS)}"
    groups = [group for one in optimizers for group in one.param_groups]
    if len(groups) > len(optimizers):
        return "optimizer: has several groups of parameters"
    for key, unused in _UNUSED.items():
        if any(group.get(key, unused) != unused for group in groups):
            return f"optimizer.{key}: is not computed for networks that are trained together"
    shared = [{key: group[key] for key in group if key not in (*_OF_REPLICA, *_HOW)} for group in groups]
    return None if all(one == shared[0] for one in shared) else "optimizer: its options differ in more than the rate"


class StackedOptimizer(ABC):
    """Moves the rows of a matrix of weights (r, w); ``slots`` are the running means that it keeps of each weight."""

    slots: tuple[str, ...]

    def __init__(self, weights: Tensor, options: Mapping[str, Any]) -> None:
        self.options = options
        self.kept = {name: torch.zeros_like(weights) for name in self.slots}
        self.steps = torch.zeros(len(weights), dtype=torch.float64)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.kept = {name: tensor[rows] for name, tensor in self.kept.items()}
        self.steps = self.steps[rows]

    def step(self, weights: Tensor, gradients: Tensor, rows: Tensor | None, rates: Tensor, decays: Tensor) -> None:
        """Move the ``rows`` of ``weights``, all if None, by ``gradients`` (rows, w); rates and decays are (rows,)."""
        every = slice(None) if rows is None else rows
        self.steps[every] += 1
        moved, kept = weights[every], {name: tensor[every] for name, tensor in self.kept.items()}
        self._move(moved, gradients, kept, self.steps[every], rates, decays)
        if rows is not None:
            weights[rows] = moved
            for name, tensor in kept.items():
                self.kept[name][rows] = tensor

    @abstractmethod
    def _move(
        self,
        weights: Tensor,
        gradients: Tensor,
        kept: Mapping[str, Tensor],
        steps: Tensor,
        rates: Tensor,
        decays: Tensor,
    ) -> None:
        """Change the weights, and what is kept of them, in place."""

    def state_of(self, row: int) -> dict[str, Tensor]:
        """Return what is kept of a row, in torch's words; empty before its first step."""
        return {name: tensor[row] for name, tensor in self.kept.items()} if self.steps[row] else {}


def _column(values: Tensor, like: Tensor) -> Tensor:
    """Numbers of the replicas in the precision of their weights, one for each row."""
    return values.to(device=like.device, dtype=like.dtype)[:, None]


class _StackedAdam(StackedOptimizer):
    """Adam (Kingma and Ba 2015), as `torch.optim.Adam` computes it."""

    slots = ("exp_avg", "exp_avg_sq")

    def _move(
        self,
        weights: Tensor,
        gradients: Tensor,
        kept: Mapping[str, Tensor],
        steps: Tensor,
        rates: Tensor,
        decays: Tensor,
    ) -> None:
        gradients = self._decay(weights, gradients, rates, decays)
        first, second = self.options["betas"]
        kept["exp_avg"].lerp_(gradients, 1 - first)
        kept["exp_avg_sq"].mul_(second).addcmul_(gradients, gradients, value=1 - second)
        corrections = 1 - first**steps, (1 - second**steps).sqrt()
        spread = (kept["exp_avg_sq"].sqrt() / _column(corrections[1], weights)).add_(self.options["eps"])
        weights.addcdiv_(_column(-rates / corrections[0], weights) * kept["exp_avg"], spread)

    def _decay(self, weights: Tensor, gradients: Tensor, rates: Tensor, decays: Tensor) -> Tensor:
        """Return the gradients with the penalty on the weights."""
        return gradients + _column(decays, weights) * weights if decays.any() else gradients


class _StackedAdamW(_StackedAdam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def _decay(self, weights: Tensor, gradients: Tensor, rates: Tensor, decays: Tensor) -> Tensor:
        """Shrink the weights by themselves."""
        weights.mul_(_column(1 - rates * decays, weights))
        return gradients


class _StackedSGD(StackedOptimizer):
    """Gradient descent with momentum, as `torch.optim.SGD` computes it."""

    slots = ("momentum_buffer",)

    def _move(
        self,
        weights: Tensor,
        gradients: Tensor,
        kept: Mapping[str, Tensor],
        steps: Tensor,
        rates: Tensor,
        decays: Tensor,
    ) -> None:
        momentum = self.options["momentum"]
        if decays.any():
            gradients = gradients + _column(decays, weights) * weights
        if momentum:
            buffer = kept["momentum_buffer"].mul_(momentum).add_(gradients)
            gradients = gradients + momentum * buffer if self.options["nesterov"] else buffer
        weights.add_(_column(-rates, weights) * gradients)

    def state_of(self, row: int) -> dict[str, Tensor]:
        """Return the momentum of a row; SGD without momentum keeps nothing."""
        return super().state_of(row) if self.options["momentum"] else {}


_KINDS: Mapping[type[Optimizer], Callable[[Tensor, Mapping[str, Any]], StackedOptimizer]] = {
    Adam: _StackedAdam,
    AdamW: _StackedAdamW,
    SGD: _StackedSGD,
}


def stack_optimizer(optimizers: Sequence[Optimizer], weights: Tensor) -> StackedOptimizer:
    """Return the optimizer of the rows of ``weights``, with what the replicas' own ``optimizers`` have kept so far."""
    stacked = _KINDS[type(optimizers[0])](weights, optimizers[0].param_groups[0])
    for row, optimizer in enumerate(optimizers):
        states = [optimizer.state.get(parameter) or {} for parameter in optimizer.param_groups[0]["params"]]
        for name, tensor in stacked.kept.items():
            if all(state.get(name) is not None for state in states):
                tensor[row] = torch.cat([state[name].reshape(-1) for state in states]).to(tensor)
                stacked.steps[row] = float(states[0].get("step", 1))
    return stacked


def give_state_back(stacked: StackedOptimizer, row: int, optimizer: Optimizer) -> None:
    """Put what is kept of a row into the replica's own optimizer, as if it had trained alone."""
    kept = stacked.state_of(row)
    start = 0
    for parameter in optimizer.param_groups[0]["params"]:
        stop = start + parameter.numel()
        state: dict[str, Any] = {name: each[start:stop].view_as(parameter).clone() for name, each in kept.items()}
        if kept and not isinstance(stacked, _StackedSGD):
            state = {"step": torch.tensor(float(stacked.steps[row])), **state}
        if state:
            optimizer.state[parameter] = state
        start = stop
