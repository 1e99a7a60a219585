"""EfficientNet (Tan and Le 2019) as MONAI has it, which needs no torchvision."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from seedfold.jobs.locations import locate
from seedfold.jobs.work import ConfigFailure, DataFailure

_HEAD = "_fc."


def efficientnet(
    name: str, *, in_channels: int, classes: int, pretrained: str | None = None, dropout: float | None = None
) -> Any:
    """Return a network that maps (n, channels, height, width) to logits (n, classes).

    ``pretrained`` is a file with weights of the same network to begin with (a state dict, as torch.save writes it);
    its last layer is left out where it has other classes. ``dropout`` replaces the network's own before that layer.
    Raises ConfigFailure without MONAI or for an unknown name, DataFailure for a file that does not fit.
    """
    try:
        from monai.networks.nets.efficientnet import EfficientNetBN
    except ImportError as error:
        raise ConfigFailure(f"model: EfficientNet needs MONAI ({error}); pip install 'seedfold[images]'") from error
    try:
        network = EfficientNetBN(
            name, pretrained=False, progress=False, spatial_dims=2, in_channels=in_channels, num_classes=classes
        )
    except ValueError as error:
        raise ConfigFailure(f"model.name: {' '.join(str(error).split())}") from error
    if dropout is not None:
        network._dropout.p = dropout
    if pretrained is not None:
        _begin_with(network, locate(pretrained))
    return network


def _begin_with(network: Any, file: Path) -> None:
    own, weights = network.state_dict(), _read(file)
    body = {key for key in own.keys() | weights.keys() if not key.startswith(_HEAD)}
    wrong = sorted(key for key in body if _shape(own, key) != _shape(weights, key))
    if wrong:
        raise DataFailure(f"model.pretrained: {file}: is of another network, to judge by {wrong[0]}")
    fitting = {key: value for key, value in weights.items() if _shape(own, key) == _shape(weights, key)}
    network.load_state_dict(fitting, strict=False)


def _read(file: Path) -> dict[str, Any]:
    import torch

    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        return dict(weights)
    except (OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise DataFailure(f"model.pretrained: {file}: {str(error).splitlines()[0]}") from error


def _shape(weights: dict[str, Any], key: str) -> tuple[int, ...] | None:
    return tuple(weights[key].shape) if key in weights else None
