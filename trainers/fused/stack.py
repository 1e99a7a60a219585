"""The stacked weights of networks of one shape, and the step that moves all of them at once.

The weights of each network become a view of one row of a matrix. So a network always has its present weights: it is
validated and saved as one that trains alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from seedfold.trainers.fused.dropout import DropoutStreams, Layers, replace_dropout
from seedfold.trainers.fused.losses import stacked_loss
from seedfold.trainers.fused.optimizers import StackedOptimizer, give_state_back, stack_optimizer
from seedfold.trainers.learning.logits import to_logits_by_head
from seedfold.trainers.learning.losses import HeadsLoss


class Stack:
    """Networks of one shape with their losses, optimizers and random streams, in rows."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        losses: Sequence[HeadsLoss],
        optimizers: Sequence[Optimizer],
        generators: Sequence[torch.Generator],
        classes: int | None,
    ) -> None:
        self.networks, self.losses, self.optimizers = list(networks), list(losses), list(optimizers)
        self._generators = list(generators)
        self._streams, self._template = DropoutStreams(), copy.deepcopy(networks[0])
        replace_dropout(self._template, self._streams)
        self._template.train()
        self._layers: dict[tuple[int, ...], Layers] = {}
        parameters = dict(networks[0].named_parameters())
        self._names, self._shapes = list(parameters), [tuple(each.shape) for each in parameters.values()]
        self._sizes = [each.numel() for each in parameters.values()]
        self.weights = torch.stack([_flatten(network) for network in networks])
        self.buffers = _stack_buffers(networks)
        self.optimizer: StackedOptimizer = stack_optimizer(optimizers, self.weights)
        self._attach()

        def forward(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, noise: list[Tensor]
        ) -> dict[str, Tensor]:
            self._streams.ready = list(noise)
            output = functional_call(self._template, (parameters, buffers), (inputs,))
            return to_logits_by_head(output, len(inputs), classes)

        # Whatever draws numbers without a stream of its own is an error: its numbers would not be those of the replica.
        self._forward = torch.vmap(forward, randomness="error")

    def _attach(self) -> None:
        """Make the weights and buffers of each network views of its row."""
        for row, network in enumerate(self.networks):
            parts = torch.split(self.weights[row], self._sizes)
            for parameter, part, shape in zip(network.parameters(), parts, self._shapes, strict=True):
                parameter.data = part.view(shape)
            for name, buffer in network.named_buffers():
                buffer.data = self.buffers[name][row]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone; the networks of the others keep the weights that they have."""
        chosen = torch.tensor(rows, device=self.weights.device)
        self.weights = self.weights[chosen]
        self.buffers = {name: each[chosen] for name, each in self.buffers.items()}
        self.optimizer.keep(chosen.cpu() if not self.weights.is_cuda else chosen)
        for name in ("networks", "losses", "optimizers", "_generators"):
            setattr(self, name, [getattr(self, name)[row] for row in rows])
        self._attach()

    def step(self, rows: Sequence[int], inputs: Tensor, targets: Tensor, clips: Sequence[float | None]) -> Tensor:
        """Learn from a batch of each of these rows, all of one size, and return the losses (rows,).

        ``inputs`` are (rows, b, ...), ``targets`` (rows, b); ``clips`` are the largest norms of the gradients.
        """
        chosen = None if len(rows) == len(self.networks) else torch.tensor(rows, device=self.weights.device)
        every = slice(None) if chosen is None else chosen
        weights = self.weights[every].detach().requires_grad_()
        buffers = {name: each[every] for name, each in self.buffers.items()}
        self._streams.generators = [self._generators[row] for row in rows]
        parts = torch.split(weights, self._sizes, 1)
        parameters = {
            name: part.view(len(rows), *shape)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }
        layers = self._layers.get(tuple(inputs.shape[1:]))
        self._streams.layers = []
        heads = self._forward(parameters, buffers, inputs, self._streams.draw(layers or []))
        if layers is None:
            self._layers[tuple(inputs.shape[1:])] = self._streams.layers
        losses = stacked_loss([self.losses[row] for row in rows], heads, targets)
        [gradients] = torch.autograd.grad(losses.sum(), weights)
        with torch.no_grad():
            self._move(rows, chosen, _clip(gradients, clips))
            if chosen is not None:
                for name, each in buffers.items():
                    self.buffers[name][chosen] = each
        return losses.detach()

    def _move(self, rows: Sequence[int], chosen: Tensor | None, gradients: Tensor) -> None:
        groups = [self.optimizers[row].param_groups[0] for row in rows]
        rates, decays = (
            torch.tensor([float(group[key]) for group in groups], dtype=torch.float64) for key in ("lr", "weight_decay")
        )
        self.optimizer.step(self.weights, gradients, chosen, rates, decays)

    def give_optimizer_back(self, row: int) -> Optimizer:
        """Return the optimizer of a row's network, with the state that it would have alone."""
        give_state_back(self.optimizer, row, self.optimizers[row])
        return self.optimizers[row]


def _flatten(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


def _stack_buffers(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    names = [name for name, _ in networks[0].named_buffers()]
    buffers: list[dict[str, Any]] = [dict(network.named_buffers()) for network in networks]
    return {name: torch.stack([each[name] for each in buffers]) for name in names}


def _clip(gradients: Tensor, clips: Sequence[float | None]) -> Tensor:
    """Scale the gradients (rows, w) of each replica to its largest norm, as `torch.nn.utils.clip_grad_norm_` does."""
    if all(clip is None for clip in clips):
        return gradients
    largest = torch.tensor([torch.inf if clip is None else clip for clip in clips]).to(gradients)
    scale = (largest / (gradients.norm(dim=1) + 1e-6)).clamp(max=1.0)
    clipped: Tensor = gradients * scale[:, None]
    return clipped
