"""The weights in a checkpoint, by the names that the model itself gives them, and files of them for other programs.

A file is written in the format that its ending names: ``.safetensors``, or a plain ``state_dict`` of torch. What is
known of the weights, such as the configuration of their job, goes into the metadata of the former, and into a YAML file
beside the latter. No file holds code, and none is read by executing code.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import yaml
from torch import Tensor

from seedfold.jobs.work import ConfigFailure
from seedfold.results.store.named_output import open_output, refuse_existing
from seedfold.trainers.data.job_data import SCALING_FILE, Scaling
from seedfold.trainers.learning.checkpoint_files import DamagedCheckpointError, is_own_state, load_checkpoint
from seedfold.trainers.learning.inert_objects import load_tensors

SAFETENSORS = ".safetensors"
TORCH_ENDINGS = (".pt", ".pth", ".ckpt", ".bin")
_NETWORK_PREFIX = "network."
"""What stands before the names of weights in the checkpoints of Seedfold's own trainer."""
_KEYS = ("state_dict", "model_state_dict", "model")
"""Where programs keep weights in a checkpoint that has more than these."""


def read_weights(checkpoint: Path) -> dict[str, Any]:
    """Return the weights, on the CPU, of a checkpoint of Seedfold's trainer, of Lightning, or of a program.

    Those of an estimator are its arrays. Raises ConfigFailure if the file cannot be read, or has no weights.
    """
    try:
        if checkpoint.suffix == ".npz":
            with np.load(checkpoint, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if checkpoint.suffix == SAFETENSORS:
            from safetensors.torch import load

            return load(checkpoint.read_bytes())
        return _read_torch_file(checkpoint)
    except (DamagedCheckpointError, OSError, ValueError, TypeError) as error:
        raise ConfigFailure(f"{checkpoint}: has no weights that can be read: {' '.join(str(error).split())}") from error


def _read_torch_file(checkpoint: Path) -> dict[str, Any]:
    if checkpoint.is_file() and not zipfile.is_zipfile(checkpoint):
        raise ConfigFailure(f"{checkpoint}: is not a whole file of torch, numpy (.npz) or safetensors")
    try:
        found: Any = load_checkpoint(checkpoint)
    except DamagedCheckpointError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        weights = _find_weights(checkpoint, load_tensors(checkpoint))
        if not _has_tensors_alone(weights):
            raise ConfigFailure(f"{checkpoint}: not all of its weights are tensors") from error
        return weights
    weights = _find_weights(checkpoint, found)
    prefix = _NETWORK_PREFIX if is_own_state(found) else ""
    return {name.removeprefix(prefix): value for name, value in weights.items()}


def _find_weights(checkpoint: Path, found: Any) -> dict[str, Any]:
    if _has_tensors_alone(found):
        return dict(found)
    entries = found if isinstance(found, Mapping) else {}
    if isinstance(entries.get("state_dict"), Mapping):
        return dict(entries["state_dict"])
    possible = [key for key, value in entries.items() if _has_tensors_alone(value)]
    chosen = [key for key in _KEYS if key in possible][:1] or possible
    if len(chosen) == 1:
        return dict(entries[chosen[0]])
    listed = ", ".join(map(str, possible or entries)) or type(found).__name__
    raise ConfigFailure(
        f"{checkpoint}: has no weights that can be told from the rest ({listed});"
        f" weights are looked for as the whole file, or as one of {', '.join(_KEYS)}"
    )


def _has_tensors_alone(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def write_weights(file: Path, checkpoint: Path, record: Mapping[str, Any]) -> list[Path]:
    """Write the weights of a checkpoint, and what is known of them, and return the files, that of the weights first.

    ``record`` holds plain values. Where inputs were standardised with numbers from the training samples, these are
    added to it as ``scaling``. Raises ConfigFailure as `read_weights`, and if the format cannot hold the weights;
    UsageError if there is a file of that name.
    """
    weights = read_weights(checkpoint)
    record = {**record, **_find_scaling(checkpoint)}
    files = written_files(file)
    for one in files:
        refuse_existing(one)
    with open_output(file) as output:
        if file.suffix == SAFETENSORS:
            _write_safetensors(output, weights, record, file)
        else:
            torch.save(weights, output)
    for one in files[1:]:
        with open_output(one) as output:
            output.write(yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode())
    return files


def written_files(file: Path) -> list[Path]:
    """Return the files that `write_weights` writes. Raises ConfigFailure if the ending names no format."""
    if file.suffix == SAFETENSORS:
        return [file]
    if file.suffix in TORCH_ENDINGS:
        return [file, file.with_suffix(".yaml")]
    endings = ", ".join((SAFETENSORS, *TORCH_ENDINGS))
    raise ConfigFailure(f"{file}: the ending of the file decides the format; it is one of {endings}")


def _write_safetensors(output: IO[bytes], weights: Mapping[str, Any], record: Mapping[str, Any], file: Path) -> None:
    from safetensors.torch import save

    others = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    if others:
        raise ConfigFailure(f"{file}: {others[0]} is no tensor, and safetensors holds nothing else; name a .pt file")
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in weights.items()}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in record.items()}
    output.write(save(tensors, {"format": "pt", **texts}))


def _find_scaling(checkpoint: Path) -> dict[str, Any]:
    if not (checkpoint.parent / SCALING_FILE).exists():
        return {}
    scaling = Scaling.read(checkpoint.parent)
    return {"scaling": {"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()}}
