"""Dropout for stacked networks: each replica draws from its own stream, the numbers that it would draw alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class DropoutStreams:
    """The random streams of the replicas that are computed now, in the order in which they are stacked."""

    generators: Sequence[torch.Generator] = field(default_factory=list)


class _Noise(torch.autograd.Function):
    """Draws the noise of a batch. Only its rule for stacked inputs is ever used."""

    @staticmethod
    def forward(inputs: Tensor, rate: float, streams: DropoutStreams) -> Tensor:  # type: ignore[override]
        [generator] = streams.generators
        return _draw(inputs, rate, generator)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        context.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], inputs: Tensor, rate: float, streams: DropoutStreams
    ) -> tuple[Tensor, int]:
        """Draw the noise (r, b, ...) of all replicas."""
        assert in_dims[0] is not None
        pairs = zip(inputs.movedim(in_dims[0], 0), streams.generators, strict=True)
        return torch.stack([_draw(one, rate, generator) for one, generator in pairs]), 0


def _draw(inputs: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Draw as `torch.nn.functional.dropout` does on a CPU: one call for a batch."""
    return torch.empty_like(inputs).bernoulli_(1 - rate, generator=generator).div_(1 - rate)


class _StreamDropout(nn.Module):
    def __init__(self, rate: float, streams: DropoutStreams) -> None:
        super().__init__()
        self._rate, self._streams = rate, streams

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs with some of them dropped."""
        if not self.training or self._rate == 0:
            return inputs
        return inputs * _Noise.apply(inputs.detach(), self._rate, self._streams)  # type: ignore[no-untyped-call]


def replace_dropout(network: nn.Module, streams: DropoutStreams) -> bool:
    """Have the dropout layers of a network draw from ``streams``; return whether there are any that drop something.

    Functions that draw are not found here: they fail where the stacked network is computed.
    """
    found = False
    for name, child in network.named_children():
        if type(child) is nn.Dropout:
            setattr(network, name, _StreamDropout(child.p, streams))
            found = found or child.p > 0
        else:
            found = replace_dropout(child, streams) or found
    return found
