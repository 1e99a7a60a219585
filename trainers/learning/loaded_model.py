"""A model with the weights of a checkpoint, for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.learning.checkpoint_files import DamagedCheckpointError, load_checkpoint
from seedfold.trainers.setup.object_builder import build

_NETWORK_PREFIX = "network."
"""What stands before the names of weights in the checkpoints of Seedfold's own trainer."""


def load_model(config: Mapping[str, Any], checkpoint: Path) -> torch.nn.Module:
    """Build ``model`` of a job's configuration, load the weights of ``checkpoint`` on the CPU, and set eval mode.

    No code in the checkpoint is executed. Raises ConfigFailure if the weights cannot be read, or are not the model's.
    """
    node = dict(config.get("model") or {})
    # The weights that training began with are replaced, so that their file is not needed.
    model: torch.nn.Module = build(node | ({"pretrained": None} if "pretrained" in node else {}), "model")
    try:
        weights = dict(load_checkpoint(checkpoint)["state_dict"])
    except (DamagedCheckpointError, KeyError) as error:
        raise ConfigFailure(f"{checkpoint}: has no weights that can be read: {error}") from error
    if all(name.startswith(_NETWORK_PREFIX) for name in weights) and weights.keys() != model.state_dict().keys():
        weights = {name.removeprefix(_NETWORK_PREFIX): value for name, value in weights.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConfigFailure(f"{checkpoint}: the weights are not those of {node.get('_target_')}: {reason}") from error
    return model.eval()
