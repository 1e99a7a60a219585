"""A file with the weights of a network and all that is needed to build it, so that other studies can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.learning.checkpoint_files import DamagedCheckpointError, load_checkpoint, save_checkpoint
from seedfold.trainers.setup.object_builder import build

EXPORTED_FILE = "weights.ckpt"
_FORMAT = 1


@dataclass(frozen=True)
class ExportedWeights:
    """``model`` is the node of the configuration; ``upright`` says whether the depth is the height of slices.

    ``epoch`` (from 0) is the epoch of the weights.
    """

    model: Mapping[str, Any]
    state_dict: Mapping[str, Tensor]
    upright: bool
    epoch: int | None

    def make_network(self) -> nn.Module:
        """Build the network and load the weights; raises ConfigFailure if they do not fit."""
        # The weights that training began with are replaced, so that their file is not needed.
        initial_weights = {"pretrained": None} if "pretrained" in self.model else {}
        network = build({**self.model, **initial_weights}, "model")
        try:
            network.load_state_dict(dict(self.state_dict))
        except (AttributeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigFailure(
                f"model: the weights are not those of {self.model.get('_target_')}: {reason}"
            ) from error
        return network  # type: ignore[no-any-return]


def export_weights(path: Path, exported: ExportedWeights) -> None:
    """Write the weights to a file, whole or not at all."""
    save_checkpoint(
        path, {"format": _FORMAT} | {field.name: getattr(exported, field.name) for field in fields(exported)}
    )


def read_exported(path: Path) -> ExportedWeights:
    """Read a file of `export_weights` without executing code; raises DataFailure naming the file."""
    try:
        found = load_checkpoint(path)
        if found.pop("format", None) != _FORMAT:
            raise DataFailure(f"{path}: is not a file of exported weights; training writes them to {EXPORTED_FILE}")
        return ExportedWeights(**found)
    except (DamagedCheckpointError, OSError, TypeError) as error:
        raise DataFailure(f"{path}: cannot be read as exported weights: {error}") from error


def find_exported(folder: Path) -> list[Path]:
    """Return the files of exported weights in a folder, at any depth, by name; raises DataFailure if there is none."""
    found = sorted(folder.rglob(EXPORTED_FILE))
    if not found:
        raise DataFailure(f"{folder}: has no {EXPORTED_FILE}, at any depth")
    return found
