"""Weights as they are found in checkpoints of all kinds, and the files that are written of them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.data.job_data import Scaling
from seedfold.trainers.learning.checkpoint_files import Checkpoints
from seedfold.trainers.learning.loaded_model import load_model
from seedfold.trainers.learning.weights_files import read_weights, write_weights

NETWORK = nn.Linear(3, 2)
WEIGHTS = NETWORK.state_dict()
OPTIMIZER = torch.optim.Adam(NETWORK.parameters()).state_dict()
RECORD = {"study": "s", "axes": {"seed": 0}, "config": {"model": {"_target_": "torch.nn.Linear"}}}


class Trap:
    """Executes code where it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


def is_same(found: dict[str, Any]) -> bool:
    return [*found] == ["weight", "bias"] and all(found[name].equal(WEIGHTS[name]) for name in found)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3, "optimizer_states": [OPTIMIZER]},
        {"model": WEIGHTS, "optimizer": OPTIMIZER},
        {"model_state_dict": WEIGHTS, "ema": WEIGHTS},
        {"anything": WEIGHTS, "epoch": 3},
    ],
    ids=["plain", "lightning", "model", "two", "one"],
)
def test_weights_are_found_where_programs_put_them(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "best.pt")
    assert is_same(read_weights(tmp_path / "best.pt"))


def test_names_are_those_of_the_network_in_checkpoints_of_our_trainer(tmp_path: Path) -> None:
    named = {f"network.{name}": value for name, value in WEIGHTS.items()}
    best = Checkpoints(tmp_path).save_best(0, 1.0, named)
    Checkpoints(tmp_path).save_state({"state_dict": named, "position": {"epoch": 1, "step": 0}})
    for name in (best.file, "last.ckpt"):
        assert is_same(read_weights(tmp_path / name))
    # A program's own network may have these names.
    torch.save({"state_dict": named}, tmp_path / "program.ckpt")
    assert [*read_weights(tmp_path / "program.ckpt")] == ["network.weight", "network.bias"]


def test_objects_in_a_checkpoint_are_left_out_and_execute_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = {"config": OmegaConf.create({"a": [1]}), "make": functools.partial(nn.Linear, 3), "net": NETWORK}
    torch.save({"state_dict": WEIGHTS, "hyper_parameters": parameters, "trap": Trap()}, "best.ckpt")
    assert is_same(read_weights(Path("best.ckpt")))
    torch.save({"state_dict": {**WEIGHTS, "extra": Trap()}}, "trap.ckpt")
    with pytest.raises(ConfigFailure, match=r"trap\.ckpt: not all of its weights are tensors"):
        read_weights(Path("trap.ckpt"))
    assert not Path("sprung").exists()


def test_what_holds_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.json").write_text("{}")
    (tmp_path / "last").mkdir()
    torch.save({"encoder": WEIGHTS, "decoder": WEIGHTS}, tmp_path / "two.pt")
    torch.save([1], tmp_path / "list.pt")
    np.savez(tmp_path / "text.npz", names=np.asarray(["a"]))
    for name, told in {
        "last.json": "is not a whole file of torch, numpy",
        "last": "has no weights that can be read: .*Is a directory",
        "gone.ckpt": "has no weights that can be read: .*No such file",
        "two.pt": r"told from the rest \(encoder, decoder\)",
        "list.pt": r"told from the rest \(list\)",
        "text.npz": "has no weights that can be read",
    }.items():
        with pytest.raises(ConfigFailure, match=told):
            read_weights(tmp_path / name)


def test_a_state_dict_is_plain_and_its_configuration_lies_beside_it(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS}, tmp_path / "best.pt")
    Scaling(np.array([1.0]), np.array([2.0])).save(tmp_path)
    files = write_weights(tmp_path / "out" / "model.pt", tmp_path / "best.pt", RECORD)
    assert [file.name for file in files] == ["model.pt", "model.yaml"]
    fresh = nn.Linear(3, 2)
    fresh.load_state_dict(torch.load(files[0], weights_only=True))
    assert is_same(fresh.state_dict())
    assert yaml.safe_load(files[1].read_text()) == {**RECORD, "scaling": {"mean": [1.0], "scale": [2.0]}}
    (tmp_path / "other.yaml").touch()
    with pytest.raises(UsageError, match=r"other\.yaml: exists already; name a new file"):
        write_weights(tmp_path / "other.pt", tmp_path / "best.pt", RECORD)
    assert not (tmp_path / "other.pt").exists()


def test_safetensors_have_the_configuration_in_their_metadata(tmp_path: Path) -> None:
    tied = {**WEIGHTS, "again": WEIGHTS["weight"], "part": WEIGHTS["weight"].T}
    torch.save(tied, tmp_path / "best.pt")
    [file] = write_weights(tmp_path / "model.safetensors", tmp_path / "best.pt", RECORD)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
        assert opened.get_tensor("part").equal(tied["part"])
    assert metadata["study"] == "s"
    assert json.loads(metadata["config"]) == RECORD["config"]
    assert read_weights(file)["again"].equal(WEIGHTS["weight"])
    torch.save({"state_dict": {**WEIGHTS, "extra": 3}}, tmp_path / "extra.pt")
    with pytest.raises(ConfigFailure, match="extra is no tensor, and safetensors holds nothing else"):
        write_weights(tmp_path / "extra.safetensors", tmp_path / "extra.pt", RECORD)
    assert not (tmp_path / "extra.safetensors").exists()


def test_a_model_is_loaded_from_any_of_these_files(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "best.safetensors")
    config = {"model": {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}}
    model = load_model(config, tmp_path / "best.safetensors")
    assert is_same(model.state_dict())
    assert not model.training
    np.savez(tmp_path / "estimator.npz", coef_=np.ones((1, 3)), intercept_=np.zeros(1), classes_=np.array([0, 1]))
    estimator = load_model(
        {"model": {"_target_": "sklearn.linear_model.LogisticRegression"}}, tmp_path / "estimator.npz"
    )
    assert estimator.predict(np.ones((1, 3))).tolist() == [1]
    with pytest.raises(ConfigFailure, match=r"the weights are not those of torch\.nn\.Linear"):
        load_model({"model": {**config["model"], "in_features": 4}}, tmp_path / "best.safetensors")
