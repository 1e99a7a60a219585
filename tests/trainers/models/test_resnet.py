"""ResNets are those of timm and torchvision, so that their weights fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.setup.object_builder import build

pytest.importorskip("monai")
from seedfold.trainers.models.resnet import resnet

Compose = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 11.689512), ("resnet34", 21.797672)])
def test_parameters_are_as_many_as_in_timm_and_torchvision(name: str, millions: float) -> None:
    """With the 1000 classes of ImageNet; torchvision's and timm's pages give these numbers."""
    with torch.device("meta"):
        network = resnet(name, in_channels=3, classes=1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == millions * 1e6
    names = list(network.state_dict())
    assert names[0] == "conv1.weight"
    assert {"layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.bias"} < set(names)


@pytest.mark.slow
def test_the_network_of_the_study_normalises_and_begins_with_published_weights(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    model = compose("task=mura_xr_wrist", "model=prevalence_shifts_full")["model"]
    file = tmp_path / "checkpoints" / "resnet34_a1_0-46f8f793.pth"
    with pytest.raises(DataFailure, match=rf"download https://github\.com/.*/{file.name} to {file}, or begin"):
        build(model, "model")
    file.parent.mkdir()
    published = resnet("resnet34", in_channels=3, classes=1000).eval()
    torch.save(published.state_dict(), file)
    network = build(model, "model").eval()
    own, given = network.network.state_dict(), published.state_dict()
    assert own["fc.weight"].shape == (2, 512)
    assert all(torch.equal(own[name], given[name]) for name in own if not name.startswith("fc."))
    images = torch.rand(2, 3, 64, 64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = network.network((images - mean[:, None, None]) / deviation[:, None, None])
        assert torch.allclose(network(images), expected)
    torch.save({"conv1.weight": given["conv1.weight"]}, file)
    with pytest.raises(DataFailure, match=r"holds weights of another network, as shown by bn1\.weight"):
        build(model, "model")


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ConfigFailure, match=r"model\.name: 'resnet43' is not one of resnet18, resnet34"):
        resnet("resnet43", in_channels=3, classes=2)
    for given in ({"mean": [0.5] * 3}, {"mean": [0.5], "deviation": [0.2]}):
        with pytest.raises(ConfigFailure, match=r"give mean and deviation of each of the 3 channels, or neither"):
            resnet("resnet18", in_channels=3, classes=2, **given)
