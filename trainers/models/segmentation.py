"""Networks that give a class to every pixel, built from MONAI's, for images of any size.

They map (n, channels, height, width) to logits (n, classes, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.models.pretrained import load_pretrained

_NEEDS_MONAI = "needs MONAI ({}); pip install 'seedfold[images]'"
# Of the classifier that an encoder is made from, and used by no U-Net.
_CLASSIFIER_LAYERS = ("_conv_head", "_conv_head_padding", "_bn1", "_fc")
_HALVINGS = 5


class PaddedNetwork(nn.Module):
    """A network for sides that are multiples of ``multiple``; other images get an edge of zeros right and below."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of the images' height and width."""
        height, width = images.shape[2:]
        padded = functional.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        logits: Tensor = self.network(padded)
        return logits[:, :, :height, :width]


def efficientnet_unet(
    name: str,
    *,
    in_channels: int,
    classes: int,
    decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    dropout: float = 0.0,
    pretrained: str | None = None,
) -> PaddedNetwork:
    """Return a U-Net (Ronneberger et al. 2015) whose encoder is the EfficientNet ``name``.

    ``decoder_channels`` are the widths of its five decoder blocks; ``pretrained`` names weights that the encoder begins
    with, see `seedfold.trainers.models.pretrained`. Raises ConfigFailure without MONAI or for an unknown name,
    DataFailure for weights that are not there or do not fit.
    """
    try:
        from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE, FlexibleUNet

        from seedfold.trainers.models.efficientnet_v2 import EfficientNetV2Encoder
    except ImportError as error:
        raise ConfigFailure(f"model: a U-Net {_NEEDS_MONAI.format(error)}") from error
    FLEXUNET_BACKBONE.register_class(EfficientNetV2Encoder)
    known = [each for each in FLEXUNET_BACKBONE.register_dict if each.startswith("efficientnet")]
    if name not in known:
        raise ConfigFailure(f"model.name: {name!r} is not one of {', '.join(known)}{did_you_mean(name, known)}")
    if len(decoder_channels) != _HALVINGS:
        raise ConfigFailure(f"model.decoder_channels: {len(decoder_channels)} widths for {_HALVINGS} blocks")
    network = FlexibleUNet(
        in_channels, classes, name, decoder_channels=tuple(decoder_channels), dropout=dropout, pretrained=False
    )
    if pretrained is not None:
        load_pretrained(network.encoder, name, pretrained)
    for unused in _CLASSIFIER_LAYERS:
        if hasattr(network.encoder, unused):
            setattr(network.encoder, unused, nn.Identity())
    return PaddedNetwork(network, 2**_HALVINGS)


def small_unet(in_channels: int, classes: int, channels: Sequence[int] = (8, 16, 32), residual_units: int = 1) -> Any:
    """Return a U-Net that trains on CPUs; ``channels`` are the widths of its levels, each half as high and wide."""
    try:
        from monai.networks.nets.unet import UNet
    except ImportError as error:
        raise ConfigFailure(f"model: a U-Net {_NEEDS_MONAI.format(error)}") from error
    halvings = len(channels) - 1
    network = UNet(2, in_channels, classes, channels, (2,) * halvings, num_res_units=residual_units, norm="batch")
    return PaddedNetwork(network, 2**halvings)
