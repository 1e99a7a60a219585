"""Dropout for stacked networks: each replica draws from its own stream, the numbers that it would draw alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Layers = list[tuple[tuple[int, ...], float]]
"""The layers that drop something, in the order in which they are computed: their shape (b, ...) and rate."""


@dataclass
class DropoutStreams:
    """The random streams of the replicas that are computed now, in the order in which they are stacked.

    For the first batch of a shape each layer draws its noise when it is computed, and is noted in ``layers``. Later
    the noise of all layers is drawn before, which costs less, and lies ``ready`` for them.
    """

    generators: Sequence[torch.Generator] = field(default_factory=list)
    layers: Layers = field(default_factory=list)
    ready: list[Tensor] = field(default_factory=list)

    def draw(self, layers: Layers) -> list[Tensor]:
        """Return the noise (r, b, ...) of each layer."""
        return [_draw_all(shape, rate, self.generators) for shape, rate in layers]


class _Noise(torch.autograd.Function):
    """Draws the noise of a batch. Only its rule for stacked inputs is ever used."""

    @staticmethod
    def forward(inputs: Tensor, rate: float, streams: DropoutStreams) -> Tensor:
        return _draw_all(inputs.shape, rate, streams.generators)[0]

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        context.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], inputs: Tensor, rate: float, streams: DropoutStreams
    ) -> tuple[Tensor, int]:
        """Draw the noise (r, b, ...) of all replicas."""
        assert in_dims[0] is not None
        shape = tuple(inputs.movedim(in_dims[0], 0).shape[1:])
        streams.layers.append((shape, rate))
        return _draw_all(shape, rate, streams.generators), 0


def _draw_all(shape: Sequence[int], rate: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw as `torch.nn.functional.dropout` does on a CPU: one call for a layer of a replica."""
    noise = torch.empty((len(generators), *shape))
    for row, generator in zip(noise, generators, strict=True):
        row.bernoulli_(1 - rate, generator=generator)
    return noise.div_(1 - rate)


class _StreamDropout(nn.Module):
    def __init__(self, rate: float, streams: DropoutStreams) -> None:
        super().__init__()
        self._rate, self._streams = rate, streams

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs with some of them dropped."""
        if not self.training or self._rate == 0:
            return inputs
        if self._streams.ready:
            return inputs * self._streams.ready.pop(0)
        noise: Tensor = _Noise.apply(inputs.detach(), self._rate, self._streams)  # type: ignore[no-untyped-call]
        return inputs * noise


def replace_dropout(network: nn.Module, streams: DropoutStreams) -> None:
    """Have the dropout layers of a network draw from ``streams``.

    Functions that draw are not found here: they fail where the stacked network is computed.
    """
    for name, child in network.named_children():
        if type(child) is nn.Dropout:
            setattr(network, name, _StreamDropout(child.p, streams))
        else:
            replace_dropout(child, streams)
