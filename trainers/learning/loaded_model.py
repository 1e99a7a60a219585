"""A model with the weights of a checkpoint, for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.learning.classical import is_estimator, restore_estimator
from seedfold.trainers.learning.weights_files import read_weights
from seedfold.trainers.setup.object_builder import build


def load_model(config: Mapping[str, Any], checkpoint: Path) -> Any:
    """Build ``model`` of a job's configuration, load the weights of ``checkpoint`` on the CPU, and set eval mode.

    An estimator is returned as it was fitted. No code in the checkpoint is executed. Raises ConfigFailure if the
    weights cannot be read, or are not the model's.
    """
    node = dict(config.get("model") or {})
    # The weights that training began with are replaced, so that their file is not needed.
    model = build(node | ({"pretrained": None} if "pretrained" in node else {}), "model")
    if is_estimator(model):
        if not restore_estimator(model, checkpoint):
            raise ConfigFailure(f"{checkpoint}: has no values of an estimator that can be read")
        return model
    try:
        model.load_state_dict(read_weights(checkpoint))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConfigFailure(f"{checkpoint}: the weights are not those of {node.get('_target_')}: {reason}") from error
    return model.eval()
