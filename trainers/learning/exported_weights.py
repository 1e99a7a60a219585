"""Weights of a network with what is needed to build it, in a file of its own, for predicting where nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.learning.checkpoint_files import DamagedCheckpoint, load, save
from seedfold.trainers.setup.build import build

FILE = "weights.ckpt"
_FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """``model`` is the node of the configuration, ``upright`` whether slices have the depth as their height.

    ``epoch`` (from 0) is the one that the weights are of.
    """

    model: Mapping[str, Any]
    state_dict: Mapping[str, Tensor]
    upright: bool
    epoch: int | None

    def network(self) -> nn.Module:
        """Build the network and give it its weights; raises ConfigFailure where they do not fit."""
        # What training began with has been replaced, and need not be here.
        begun = {"pretrained": None} if "pretrained" in self.model else {}
        network = build({**self.model, **begun}, "model")
        try:
            network.load_state_dict(dict(self.state_dict))
        except (AttributeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigFailure(
                f"model: the weights are not those of {self.model.get('_target_')}: {reason}"
            ) from error
        return network  # type: ignore[no-any-return]


def export(path: Path, exported: Exported) -> None:
    """Write weights, whole or not at all."""
    save(path, {"format": _FORMAT} | {field.name: getattr(exported, field.name) for field in fields(exported)})


def read(path: Path) -> Exported:
    """Read what `export` wrote, never executing code; raises DataFailure naming the file."""
    try:
        found = load(path)
        if found.pop("format", None) != _FORMAT:
            raise DataFailure(f"{path}: is no file of exported weights; training leaves them as {FILE}")
        return Exported(**found)
    except (DamagedCheckpoint, OSError, TypeError) as error:
        raise DataFailure(f"{path}: cannot be read as exported weights: {error}") from error


def exported_in(folder: Path) -> list[Path]:
    """Return the files of exported weights in a folder, at any depth, by name; raises DataFailure if it has none."""
    found = sorted(folder.rglob(FILE))
    if not found:
        raise DataFailure(f"{folder}: has no {FILE}, at any depth")
    return found
