"""Small networks for tables and small images. A network returns logits (n, k), or one such tensor a named head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Fully connected layers with ReLU and dropout over flattened inputs."""

    def __init__(self, features: int, classes: int, hidden: Sequence[int] = (32,), dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        width = features
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, ...) with ``features`` values a sample to logits (n, classes)."""
        logits: Tensor = self.layers(inputs)
        return logits


class SmallCNN(nn.Module):
    """Blocks of two 3x3 convolutions and a 2x2 maximum, then a dense layer; for images of 8x8 and up.

    ``channels`` gives the width of each block and so the number of halvings; ``size`` is (height, width).
    """

    def __init__(
        self,
        in_channels: int,
        size: Sequence[int],
        classes: int,
        channels: Sequence[int] = (16, 32),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = in_channels
        for wider in channels:
            blocks += [
                _make_convolution(width, wider),
                nn.ReLU(),
                _make_convolution(wider, wider),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            width = wider
        height_left, width_left = (side // 2 ** len(channels) for side in size)
        if min(height_left, width_left) < 1:
            raise ValueError(f"{len(channels)} blocks halve an image of {size[0]}x{size[1]} to nothing")
        flat = width * height_left * width_left
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(dropout), nn.Linear(flat, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels, height, width) to logits (n, classes)."""
        logits: Tensor = self.layers(images)
        return logits


class PooledCNN(nn.Module):
    """Blocks of a 3x3 convolution, batch normalisation, ReLU and a 2x2 maximum; their average; dense layers.

    ``channels`` gives the width of each block, ``dense`` that of each layer with ReLU before the logits. Images may
    have any size that the blocks can halve.
    """

    def __init__(
        self, in_channels: int, classes: int, channels: Sequence[int] = (16, 32, 64), dense: Sequence[int] = (32,)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for wider in channels:
            layers += [_make_convolution(width, wider), nn.BatchNorm2d(wider), nn.ReLU(), nn.MaxPool2d(2)]
            width = wider
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        for narrower in dense:
            layers += [nn.Linear(width, narrower), nn.ReLU()]
            width = narrower
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels, height, width) to logits (n, classes)."""
        logits: Tensor = self.layers(images)
        return logits


def _make_convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=3, padding=1)
