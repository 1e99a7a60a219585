"""A 3D network of convolution blocks. Every block has its own head, and there is one more at the end.

The head of a block sees its feature map only inside the tumour: the map is multiplied by the tumour mask, which is
max-pooled to the size of the map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["batch", "group"]
Pooling = Literal["avg", "max", "flatten"]
LAST_HEAD = "last"
"""The name of the head at the end; those of kept blocks are ``block_1``, ``block_2``, …"""

_SPATIAL_AXES = (2, 3, 4)
_EPSILON = 1e-5


def make_block_channels(start: int, growth: int | float, blocks: int) -> list[int]:
    """Return the channels of each kept block b from 0: start + growth · b for a whole number, else start · growth^b."""
    if isinstance(growth, int):
        return [start + growth * number for number in range(blocks)]
    return [round(start * growth**number) for number in range(blocks)]


class StandardisedConv3d(nn.Conv3d):
    """A convolution in which each kernel is standardised to mean 0 and deviation 1 (Qiao et al. 2019)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve with the standardised kernels."""
        deviation, mean = torch.std_mean(self.weight, dim=(1, *_SPATIAL_AXES), keepdim=True, correction=0)
        kernels = (self.weight - mean) / (deviation + _EPSILON)
        return functional.conv3d(inputs, kernels, self.bias, self.stride, self.padding)


class DeepSupervisionCNN(nn.Module):
    """Blocks of 3x3x3 convolutions, each with normalisation and ReLU; one logit per head.

    ``modalities`` says which images are among the input channels; the mask is the last channel. ``blocks`` holds the
    number of convolutions of each block; 0 drops the block and its head. Blocks that are kept are numbered on, as if
    the dropped ones were not in the list: names, channels and strides go by this number. The first convolution of every
    block but the first has stride 2. ``norm`` is batch normalisation, or group normalisation over ``groups`` groups
    with standardised kernels. A block with more than ``dropout_above`` channels ends with dropout. ``size`` is that of
    the input volume; only ``pooling`` flatten needs it.
    """

    def __init__(
        self,
        modalities: Mapping[str, bool],
        size: Sequence[int],
        blocks: Sequence[int] = (3, 3, 3, 3, 3),
        channels: int = 16,
        growth: int | float = 24,
        norm: Norm = "batch",
        groups: int = 8,
        dropout: float = 0.0,
        dropout_above: int = 0,
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        _check_options(blocks, norm, pooling)
        self.images = sum(map(bool, modalities.values()))
        if not self.images:
            raise ValueError(f"modalities: none of {', '.join(modalities)} is switched on")
        self.pooling = pooling
        self.blocks = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        width, side = self.images, tuple(size)
        kept = [count for count in blocks if count]
        for number, (count, wide) in enumerate(
            zip(kept, make_block_channels(channels, growth, len(kept)), strict=True)
        ):
            stride = 2 if number else 1
            side = tuple(math.ceil(each / stride) for each in side)
            layers = _block_layers(width, wide, count, stride, _make_convolution_maker(norm, groups))
            if dropout and wide > dropout_above:
                layers.append(nn.Dropout(dropout))
            name, width = f"block_{number + 1}", wide
            self.blocks[name] = nn.Sequential(*layers)
            self.heads[name] = nn.Linear(self._feature_count(wide, side), 1)
        self.heads[LAST_HEAD] = nn.Linear(self._feature_count(width, side), 1)

    def _feature_count(self, channels: int, side: Sequence[int]) -> int:
        return channels * math.prod(side) if self.pooling == "flatten" else channels

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Map images and mask (n, images + 1, depth, height, width) to a logit (n, 1) of each head."""
        current, mask = inputs[:, : self.images], inputs[:, self.images :]
        logits = {}
        for name, block in self.blocks.items():
            current = block(current)
            inside = functional.adaptive_max_pool3d(mask, current.shape[2:])
            logits[name] = self.heads[name](self._pool(current * inside))
        return {LAST_HEAD: self.heads[LAST_HEAD](self._pool(current)), **logits}

    def _pool(self, values: Tensor) -> Tensor:
        if self.pooling == "flatten":
            return values.flatten(1)
        # Unlike the adaptive pooling layers, these have a deterministic gradient on GPUs.
        return values.amax(_SPATIAL_AXES) if self.pooling == "max" else values.mean(_SPATIAL_AXES)


def _check_options(blocks: Sequence[int], norm: str, pooling: str) -> None:
    if norm not in get_args(Norm):
        raise ValueError(f"norm: {norm!r} is not one of {', '.join(get_args(Norm))}")
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling: {pooling!r} is not one of {', '.join(get_args(Pooling))}")
    if not any(blocks):
        raise ValueError(f"blocks: {list(blocks)} has no convolution")


ConvolutionMaker = Callable[[int, int, int], list[nn.Module]]


def _make_convolution_maker(norm: Norm, groups: int) -> ConvolutionMaker:
    """Return a maker of one convolution with its normalisation, from channels before, channels after and stride."""

    def with_batch_norm(before: int, after: int, stride: int) -> list[nn.Module]:
        return [nn.Conv3d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm3d(after)]

    def with_group_norm(before: int, after: int, stride: int) -> list[nn.Module]:
        if after % groups:
            raise ValueError(f"groups: {groups} do not divide a block of {after} channels")
        return [StandardisedConv3d(before, after, 3, stride, padding=1, bias=False), nn.GroupNorm(groups, after)]

    return with_batch_norm if norm == "batch" else with_group_norm


def _block_layers(before: int, after: int, count: int, stride: int, convolution: ConvolutionMaker) -> list[nn.Module]:
    widths = [before, *[after] * count]
    strides = [stride, *[1] * (count - 1)]
    layers: list[nn.Module] = []
    for (narrow, wide), step in zip(itertools.pairwise(widths), strides, strict=True):
        layers += [*convolution(narrow, wide, step), nn.ReLU()]
    return layers
