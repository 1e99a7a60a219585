"""Weights to begin with: a file, or published ones, which are looked for where torch keeps them and never fetched.

Jobs run where there may be no network. Published files have the names that timm and MONAI give them; they are looked
for in the folder in which these programs keep them, ``checkpoints`` in that of ``torch.hub``.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.locations import locate
from seedfold.jobs.work import ConfigFailure, DataFailure

_HEAD_PREFIXES = ("_fc.", "fc.")
# What MONAI's EfficientNets and ours have behind their blocks; an encoder has none of it.
_CLASSIFIER_KEYS = (
    "_conv_head.weight",
    *(f"_bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
)
# Of batch normalisation with a momentum, which has no use for it; published weights do not have it.
_COUNTER_SUFFIX = "num_batches_tracked"
# Names of published weights, and what MONAI calls those of a network.
_PUBLISHED_NAMES = {"imagenet": "efficientnet-{}", "advprop": "{}-ap"}
# Files of timm by their names, and the release that has them.
_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download"
_TIMM_RELEASES = {
    # timm: tf_efficientnet_l2.ns_jft_in1k, tf_efficientnet_b8.ra_in1k, tf_efficientnet_b8.ap_in1k
    "tf_efficientnet_l2_ns-df73bb44.pth": "v0.1-weights",
    "tf_efficientnet_b8_ra-572d5dd9.pth": "v0.1-weights",
    "tf_efficientnet_b8_ap-00e169fa.pth": "v0.1-weights",
    # timm: tf_efficientnetv2_l.in1k, tf_efficientnetv2_xl.in21k_ft_in1k
    "tf_efficientnetv2_l-d664b728.pth": "v0.1-effv2-weights",
    "tf_efficientnetv2_xl_in21ft1k-06c35c48.pth": "v0.1-effv2-weights",
    # timm: resnet34.a1_in1k
    "resnet34_a1_0-46f8f793.pth": "v0.1-rsb-weights",
}


def load_pretrained(network: Any, name: str, pretrained: str) -> None:
    """Give a network, or an encoder made of one, the weights ``pretrained`` of ``name``.

    ``pretrained`` is a file with a state dict as torch.save writes it, ``imagenet`` or ``advprop`` for those of an
    EfficientNet that MONAI names, or the bare name of a file of timm. Weights of other programs are taken by their
    order where they have other names. The last layer is left out where it is another, and a network for one channel
    adds up the weights of colours. Raises DataFailure for weights that are not there or are
    of another network, ConfigFailure for those that nobody has published.
    """
    file = _find_weights_file(name, pretrained)
    network_weights = network.state_dict()
    weights = _fit_channels(network_weights, _rename_weights(network_weights, _read_weights(file)))
    mismatched = [
        key for key in _body_keys(network_weights) if _shape_of(network_weights, key) != _shape_of(weights, key)
    ]
    mismatched += [key for key in _body_keys(weights) if key not in network_weights and key not in _CLASSIFIER_KEYS]
    if mismatched:
        raise DataFailure(f"model.pretrained: {file}: holds weights of another network, as shown by {mismatched[0]}")
    fitting = {
        key: value for key, value in weights.items() if _shape_of(network_weights, key) == _shape_of(weights, key)
    }
    network.load_state_dict(fitting, strict=False)


def _find_weights_file(name: str, pretrained: str) -> Path:
    """Return the file; raises DataFailure that says where weights come from and where they are to be put."""
    if pretrained in _TIMM_RELEASES:
        return _require_published(pretrained, f"{_TIMM}/{_TIMM_RELEASES[pretrained]}/{pretrained}")
    if pretrained not in _PUBLISHED_NAMES:
        return _require_file(pretrained)
    from monai.networks.nets.efficientnet import url_map

    address = url_map.get(_PUBLISHED_NAMES[pretrained].format(name.removeprefix("efficientnet-")))
    if address is None:
        raise ConfigFailure(f"model.pretrained: there are no published weights {pretrained} of {name}; give a file")
    return _require_published(f"{pretrained} of {name}", address)


def _require_published(what: str, address: str) -> Path:
    import torch

    file = Path(torch.hub.get_dir(), "checkpoints", address.rpartition("/")[2])
    if not file.exists():
        raise DataFailure(
            f"model.pretrained: {what} is not here; download {address} to {file}, or begin with random weights:"
            " model.pretrained=null"
        )
    return file


def _require_file(pretrained: str) -> Path:
    try:
        file = locate(pretrained)
    except UsageError as error:
        raise DataFailure(f"model.pretrained: {error}") from error
    if not file.exists():
        known = ", ".join(_PUBLISHED_NAMES)
        raise DataFailure(f"model.pretrained: {file}: no such file; put the weights there, or name one of {known}")
    return file


def _body_keys(weights: dict[str, Any]) -> list[str]:
    return [key for key in weights if not key.startswith(_HEAD_PREFIXES) and not key.endswith(_COUNTER_SUFFIX)]


def _rename_weights(network_weights: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Rename weights: published ones name a block by its number alone, MONAI by its stage as well; others by order."""
    stages = {re.sub(r"^_blocks\.\d+\.(\d+\.)", r"_blocks.\1", key): key for key in network_weights}
    names = [
        *(key for key in _body_keys(network_weights) if key not in _CLASSIFIER_KEYS),
        *_CLASSIFIER_KEYS,
        "_fc.weight",
        "_fc.bias",
    ]
    found = {key: value for key, value in weights.items() if not key.endswith(_COUNTER_SUFFIX)}
    if names[0] not in found and len(found) <= len(names):
        return dict(zip(names, found.values(), strict=False))
    return {key if key in network_weights else stages.get(key, key): value for key, value in weights.items()}


def _fit_channels(network_weights: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    first = next(iter(network_weights))
    is_convolution = first in weights and weights[first].ndim == network_weights[first].ndim
    if is_convolution and network_weights[first].shape[1] == 1:
        weights[first] = weights[first].sum(1, keepdim=True)
    return weights


def _read_weights(file: Path) -> dict[str, Any]:
    import torch

    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        return dict(weights)
    except (OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise DataFailure(f"model.pretrained: {file}: {str(error).splitlines()[0]}") from error


def _shape_of(weights: dict[str, Any], key: str) -> tuple[int, ...] | None:
    return tuple(weights[key].shape) if key in weights else None
