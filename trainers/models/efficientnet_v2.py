"""EfficientNetV2 (Tan and Le 2021) of MONAI's blocks and one more, as a classifier and as an encoder of U-Nets.

Padding is TensorFlow's, as in MONAI's EfficientNets, for images whose sides are multiples of 32.
"""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any, NamedTuple

from monai.networks.blocks.encoder import BaseEncoder
from monai.networks.nets.efficientnet import MBConvBlock, drop_connect
from torch import Tensor, nn


class Stage(NamedTuple):
    """Blocks of equal width, of which the first has the stride; ``fused`` ones have no depthwise convolution."""

    blocks: int
    channels: int
    stride: int
    expansion: int
    fused: bool


class Architecture(NamedTuple):
    """Share of features that a classifier drops while training; blocks and channels of each stage."""

    dropout: float
    blocks: tuple[int, ...]
    channels: tuple[int, ...]

    def stages(self) -> list[Stage]:
        """Return the stages; what they have beside their sizes is the same in all architectures."""
        return [Stage(*each) for each in zip(self.blocks, self.channels, _STRIDES, _EXPANSIONS, _FUSED, strict=False)]


_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_EXPANSIONS = (1, 4, 4, 4, 6, 6, 6)
_FUSED = (True, True, True, False, False, False, False)
# S: table 4 of the paper; the others: effnetv2_configs.py of its authors' program (github.com/google/automl).
ARCHITECTURES = {
    "efficientnetv2-s": Architecture(0.2, (2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256)),
    "efficientnetv2-m": Architecture(0.3, (3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512)),
    "efficientnetv2-l": Architecture(0.4, (4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640)),
    "efficientnetv2-xl": Architecture(0.4, (4, 8, 8, 16, 24, 32, 8), (32, 64, 96, 192, 256, 512, 640)),
}
# Share of whole samples that the residual branch of the last block loses while training; of the first it is none.
_DROP_CONNECT = 0.2
_SQUEEZE_RATIO = 0.25
_HEAD_CHANNELS = 1280
_EPSILON, _MOMENTUM = 1e-3, 0.01
_NORM = ("batch", {"eps": _EPSILON, "momentum": _MOMENTUM})
# Of images in training; any multiple of 32 leads to the same padding.
_IMAGE_SIDE = 384


class FusedMBConvBlock(nn.Module):
    """A 3x3 convolution that widens and a 1x1 convolution that narrows; the first alone without ``expansion``."""

    def __init__(self, before: int, after: int, *, stride: int, expansion: int, drop: float) -> None:
        super().__init__()
        wide = before * expansion if expansion > 1 else after
        layers = [*_convolution_layers(before, wide, stride), nn.SiLU()]
        if expansion > 1:
            layers += [nn.Conv2d(wide, after, 1, bias=False), _make_normalisation(after)]
        self.layers = nn.Sequential(*layers)
        self.residual, self.drop = stride == 1 and before == after, drop

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, before, height, width) to (n, after, height / stride, width / stride)."""
        changed: Tensor = self.layers(maps)
        if not self.residual:
            return changed
        return maps + (drop_connect(changed, self.drop, self.training) if self.drop else changed)


class EfficientNetV2Encoder(nn.Module, BaseEncoder):
    """The stages, without a classifier, in the form that MONAI's FlexibleUNet takes."""

    def __init__(
        self, model_name: str, *, in_channels: int = 3, spatial_dims: int = 2, pretrained: bool = False
    ) -> None:
        super().__init__()
        if spatial_dims != 2 or pretrained:
            raise ValueError(f"{model_name} is for images, and begins at random")
        stages = ARCHITECTURES[model_name].stages()
        # The first convolution is as wide as the first stage.
        stem = stages[0].channels
        self.stem = nn.Sequential(*_convolution_layers(in_channels, stem, 2), nn.SiLU())
        drops = (_DROP_CONNECT * i / sum(each.blocks for each in stages) for i in count())
        widths = pairwise([stem, *(each.channels for each in stages)])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(_make_block(stage, after if number else before, 1 if number else stage.stride, next(drops))
                  for number in range(stage.blocks))
            )
            for stage, (before, after) in zip(stages, widths, strict=True)
        )  # fmt: skip
        self.last_of_size = _is_last_of_size(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of a half, a fourth, … of the height and width of images, the last of each size."""
        maps, found = self.stem(images), []
        for stage, last in zip(self.stages, self.last_of_size, strict=True):
            maps = stage(maps)
            if last:
                found.append(maps)
        return found

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the names of the four sizes."""
        return list(ARCHITECTURES)

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """Return the arguments of each, which FlexibleUNet changes to those that it was given."""
        return [
            {"model_name": name, "in_channels": 3, "spatial_dims": 2, "pretrained": False} for name in ARCHITECTURES
        ]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return how many maps each returns."""
        return [len(channels) for channels in cls.num_channels_per_output()]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return the channels of each one's maps."""
        return [_output_channels(architecture.stages()) for architecture in ARCHITECTURES.values()]


class EfficientNetV2(EfficientNetV2Encoder):
    """The classifier; parts behind the stages have the names that MONAI's EfficientNets give them."""

    def __init__(self, model_name: str, *, in_channels: int, num_classes: int) -> None:
        super().__init__(model_name, in_channels=in_channels)
        architecture = ARCHITECTURES[model_name]
        self._conv_head = nn.Conv2d(architecture.channels[-1], _HEAD_CHANNELS, 1, bias=False)
        self._bn1 = _make_normalisation(_HEAD_CHANNELS)
        self._dropout = nn.Dropout(architecture.dropout)
        self._fc = nn.Linear(_HEAD_CHANNELS, num_classes)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Map (n, channels, height, width) to logits (n, classes)."""
        maps = super().forward(images)[-1]
        features = nn.functional.silu(self._bn1(self._conv_head(maps))).mean((2, 3))
        logits: Tensor = self._fc(self._dropout(features))
        return logits


def _is_last_of_size(stages: list[Stage]) -> list[bool]:
    return [*(after.stride == 2 for after in stages[1:]), True]


def _output_channels(stages: list[Stage]) -> tuple[int, ...]:
    return tuple(stage.channels for stage, last in zip(stages, _is_last_of_size(stages), strict=True) if last)


def _make_block(stage: Stage, before: int, stride: int, drop: float) -> nn.Module:
    if stage.fused:
        return FusedMBConvBlock(before, stage.channels, stride=stride, expansion=stage.expansion, drop=drop)
    return MBConvBlock(
        2, before, stage.channels, 3, stride, [_IMAGE_SIDE, _IMAGE_SIDE], stage.expansion, _SQUEEZE_RATIO, norm=_NORM,
        drop_connect_rate=drop,
    )  # fmt: skip


def _convolution_layers(before: int, after: int, stride: int) -> list[nn.Module]:
    """Return a 3x3 convolution with TensorFlow's padding, and its normalisation."""
    padding = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
    return [padding, nn.Conv2d(before, after, 3, stride, bias=False), _make_normalisation(after)]


def _make_normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)
