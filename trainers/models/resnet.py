"""MONAI's ResNets (He et al. 2016) for colour and grey images, laid out as those of timm and torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.models.pretrained import load_pretrained

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


class Normalized(nn.Module):
    """A network for images with values in 0 … 1 that it sees with this ``mean`` and ``deviation`` of each channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(list(values))[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of images (n, channels, height, width)."""
        logits: Tensor = self.network((images - self.mean) / self.deviation)
        return logits


def resnet(
    name: str,
    *,
    in_channels: int,
    classes: int,
    pretrained: str | None = None,
    dropout: float = 0.0,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
) -> nn.Module:
    """Return a network that maps (n, channels, height, width) to logits (n, classes); ``name`` is in `BLOCKS`.

    ``pretrained`` names weights to begin with, see `seedfold.trainers.models.pretrained`. ``dropout`` is the share of
    features dropped before the last layer while training. With ``mean`` and ``deviation``, one value for each channel,
    images are normalised first. Raises ConfigFailure without MONAI or for settings that do not fit, DataFailure for
    weights that are not there or do not fit.
    """
    try:
        from monai.networks.nets.resnet import ResNet
    except ImportError as error:
        raise ConfigFailure(f"model: ResNet needs MONAI ({error}); pip install 'seedfold[images]'") from error
    if name not in BLOCKS:
        raise ConfigFailure(f"model.name: {name!r} is not one of {', '.join(BLOCKS)}{did_you_mean(name, BLOCKS)}")
    for key, values in (("mean", mean), ("deviation", deviation)):
        if (mean is None) != (deviation is None) or (values is not None and len(values) != in_channels):
            raise ConfigFailure(
                f"model.{key}: give mean and deviation of each of the {in_channels} channels, or neither"
            )
    network: Any = ResNet(
        "basic", list(BLOCKS[name]), [64, 128, 256, 512], spatial_dims=2, n_input_channels=in_channels,
        conv1_t_stride=2, num_classes=classes, bias_downsample=False,
    )  # fmt: skip
    if pretrained is not None:
        load_pretrained(network, name, pretrained)
    if dropout:
        network.fc = nn.Sequential(nn.Dropout(dropout), network.fc)
    return network if mean is None or deviation is None else Normalized(network, mean, deviation)
