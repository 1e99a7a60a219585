"""MONAI's EfficientNet (Tan and Le 2019), and EfficientNetV2 (2021) from its blocks, both without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.models.pretrained import load_pretrained


def efficientnet(
    name: str,
    *,
    in_channels: int,
    classes: int,
    pretrained: str | None = None,
    dropout: float | None = None,
    dense: Sequence[int] = (),
) -> Any:
    """Return a network that maps (n, channels, height, width) to logits (n, classes).

    Behind the global average of the features come dense layers of the widths ``dense`` with ReLU, then the logits.
    ``pretrained`` names weights to begin with, see `seedfold.trainers.models.pretrained`. ``dropout`` replaces the
    network's own before the dense layers. Raises ConfigFailure without MONAI or for an unknown name, DataFailure for
    weights that are not there or do not fit.
    """
    try:
        from monai.networks.nets.efficientnet import EfficientNetBN, efficientnet_params

        from seedfold.trainers.models.efficientnet_v2 import ARCHITECTURES, EfficientNetV2
    except ImportError as error:
        raise ConfigFailure(f"model: EfficientNet needs MONAI ({error}); pip install 'seedfold[images]'") from error
    known = [*efficientnet_params, *ARCHITECTURES]
    if name not in known:
        raise ConfigFailure(f"model.name: {name!r} is not one of {', '.join(known)}{did_you_mean(name, known)}")
    if name in ARCHITECTURES:
        network: Any = EfficientNetV2(name, in_channels=in_channels, num_classes=classes)
    else:
        network = EfficientNetBN(name, pretrained=False, in_channels=in_channels, num_classes=classes)
    if dropout is not None:
        network._dropout.p = dropout
    if dense:
        network._fc = _dense_layers(network._fc.in_features, dense, classes)
    if pretrained is not None:
        load_pretrained(network, name, pretrained)
    return network


def _dense_layers(features: int, widths: Sequence[int], classes: int) -> Any:
    from torch import nn

    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))
