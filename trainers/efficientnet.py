"""EfficientNet (Tan and Le 2019) as MONAI has it, which needs no torchvision.

Published weights are looked for where torch keeps them, and never fetched: jobs run where there may be no network.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.locations import locate
from seedfold.jobs.work import ConfigFailure, DataFailure

_HEAD = "_fc."
# Of batch normalisation with a momentum, which has no use for it; published weights do not have it.
_COUNTER = "num_batches_tracked"


# Names of published weights, and what MONAI calls those of a network.
_PUBLISHED = {"imagenet": "efficientnet-{}", "advprop": "{}-ap"}


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
    ``pretrained`` is a file with weights of the same network to begin with (a state dict, as torch.save writes it), or
    ``imagenet`` or ``advprop`` for published ones; the last layer is left out where it is another. ``dropout`` replaces
    the network's own before the dense layers. Raises ConfigFailure without MONAI or for an unknown name, DataFailure
    for weights that are not there or do not fit.
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
    if dense:
        network._fc = _dense_layers(network._fc.in_features, dense, classes)
    if pretrained is not None:
        _begin_with(network, _weights_file(name, pretrained))
    return network


def _dense_layers(features: int, widths: Sequence[int], classes: int) -> Any:
    from torch import nn

    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def _weights_file(name: str, pretrained: str) -> Path:
    """Return the file; raises DataFailure that says where weights come from and where they are to be put."""
    if pretrained not in _PUBLISHED:
        return _file(pretrained)
    import torch
    from monai.networks.nets.efficientnet import url_map

    address = url_map.get(_PUBLISHED[pretrained].format(name.removeprefix("efficientnet-")))
    if address is None:
        raise ConfigFailure(f"model.pretrained: nobody has published weights {pretrained} of {name}; give a file")
    file = Path(torch.hub.get_dir(), "checkpoints", address.rpartition("/")[2])
    if not file.exists():
        raise DataFailure(f"model.pretrained: {pretrained} of {name} is not here; download {address} to {file}")
    return file


def _file(pretrained: str) -> Path:
    try:
        file = locate(pretrained)
    except UsageError as error:
        raise DataFailure(f"model.pretrained: {error}") from error
    if not file.exists():
        known = ", ".join(_PUBLISHED)
        raise DataFailure(f"model.pretrained: {file}: no such file; put the weights there, or name one of {known}")
    return file


def _begin_with(network: Any, file: Path) -> None:
    own = network.state_dict()
    weights = _as_monai_names(own, _read(file))
    body = {key for key in own.keys() | weights.keys() if not key.startswith(_HEAD) and not key.endswith(_COUNTER)}
    wrong = sorted(key for key in body if _shape(own, key) != _shape(weights, key))
    if wrong:
        raise DataFailure(f"model.pretrained: {file}: is of another network, to judge by {wrong[0]}")
    fitting = {key: value for key, value in weights.items() if _shape(own, key) == _shape(weights, key)}
    network.load_state_dict(fitting, strict=False)


def _as_monai_names(own: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Rename published weights: they name a block by its number alone, MONAI by its stage as well."""
    stages = {re.sub(r"^_blocks\.\d+\.(\d+\.)", r"_blocks.\1", key): key for key in own}
    return {key if key in own else stages.get(key, key): value for key, value in weights.items()}


def _read(file: Path) -> dict[str, Any]:
    import torch

    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        return dict(weights)
    except (OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise DataFailure(f"model.pretrained: {file}: {str(error).splitlines()[0]}") from error


def _shape(weights: dict[str, Any], key: str) -> tuple[int, ...] | None:
    return tuple(weights[key].shape) if key in weights else None
