from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.augmentation.batches import FlipAffineColor, Shift
from seedfold.trainers.models.networks import MLP, SmallCNN
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.setup.randomness import make_generator


def test_the_networks_return_logits() -> None:
    assert MLP(features=12, classes=3, hidden=[5, 4])(torch.zeros(7, 3, 4)).shape == (7, 3)
    assert MLP(features=12, classes=3, hidden=[])(torch.zeros(7, 12)).shape == (7, 3)
    assert SmallCNN(in_channels=2, size=[8, 12], classes=4)(torch.zeros(5, 2, 8, 12)).shape == (5, 4)


def test_an_image_too_small_for_the_blocks_is_a_failure_of_the_configuration() -> None:
    node = {"_target_": "seedfold.trainers.models.networks.SmallCNN", "in_channels": 1, "size": [2, 8], "classes": 2}
    with pytest.raises(ConfigFailure, match="model: ValueError: 2 blocks halve an image of 2x8 to nothing"):
        build(node, "model")


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (None, "model: has no _target_, so nothing can be built"),
        ({"_target_": "seedfold.trainers.models.networks.MPL"}, "model: .*MPL"),
        ({"_target_": "seedfold.trainers.models.networks.MLP", "feature": 3}, "model: TypeError: .*feature"),
    ],
)
def test_what_cannot_be_built_names_the_key_in_one_line(node: dict[str, object] | None, says: str) -> None:
    with pytest.raises(ConfigFailure, match=says) as caught:
        build(node, "model")
    assert "\n" not in str(caught.value)


@settings(max_examples=30, deadline=None)
@given(pixels=st.integers(0, 3), seed=st.integers(0, 100))
def test_a_shift_moves_each_image_whole_and_repeats(pixels: int, seed: int) -> None:
    images = torch.zeros(20, 2, 9, 9)
    images[:, 0, 4, 4], images[:, 1, 4, 4] = 1.0, 2.0
    moved = Shift(pixels)(images, make_generator(torch.device("cpu"), seed))
    assert torch.equal(moved, Shift(pixels)(images, make_generator(torch.device("cpu"), seed)))
    assert torch.equal(moved[:, 1], 2 * moved[:, 0])
    places = moved[:, 0].nonzero()
    assert len(places) == 20
    assert (places[:, 1:] - 4).abs().max() <= pixels


def test_shifts_differ_between_images() -> None:
    images = torch.rand(50, 1, 8, 8)
    moved = Shift(2)(images, make_generator(torch.device("cpu"), 0))
    same = [torch.equal(before, after) for before, after in zip(images, moved, strict=True)]
    assert not all(same)


NOTHING = {
    "flip_horizontal": 0.0, "flip_vertical": 0.0, "degrees": 0.0, "zoom": 0.0, "shift": 0.0, "brightness": 0.0,
    "contrast": 0.0,
}  # fmt: skip


def changed(images: torch.Tensor, seed: int = 0, **settings: float) -> torch.Tensor:
    return FlipAffineColor(**{**NOTHING, **settings})(images, make_generator(torch.device("cpu"), seed))


def test_each_change_does_what_it_says() -> None:
    images = torch.rand(40, 3, 8, 12)
    assert torch.allclose(changed(images), images, atol=1e-5)
    assert torch.allclose(changed(images, flip_horizontal=1.0), images.flip(3), atol=1e-5)
    assert torch.allclose(changed(images, flip_vertical=1.0), images.flip(2), atol=1e-5)
    grey = torch.full((40, 3, 8, 12), 0.5)
    brighter = changed(grey, brightness=0.2)
    assert torch.allclose(brighter, brighter[:, :1, :1, :1], atol=1e-5)
    assert 0.1 < (brighter - grey).abs().max() <= 0.2
    contrasted = changed(images, contrast=0.5)
    middle = ((contrasted > 0) & (contrasted < 1)).all(1).all(1).all(1)
    assert torch.allclose(contrasted[middle].mean((1, 2, 3)), images[middle].mean((1, 2, 3)), atol=1e-4)


def test_a_turned_image_keeps_its_proportions() -> None:
    down, right = torch.meshgrid(torch.arange(32.0), torch.arange(64.0), indexing="ij")
    disc = ((down - 15.5) ** 2 + (right - 31.5) ** 2 < 100).float()[None, None].repeat(20, 3, 1, 1)
    turned = changed(disc, degrees=180.0)
    assert (turned - disc).abs().mean() < 0.02


def test_mild_changes_repeat_differ_between_images_and_stay_within_0_and_1() -> None:
    images = torch.rand(20, 3, 16, 16)
    augment = FlipAffineColor()
    first, again, other = (augment(images, make_generator(torch.device("cpu"), seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    assert len({float(part.mean()) for part in (first - images)}) == 20


def test_without_monai_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # By its full name too: another test may have imported it.
    for name in ("monai", "monai.networks.nets.efficientnet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigFailure, match=r"^model: EfficientNet needs MONAI .*pip install 'seedfold\[images\]'"):
        build(efficientnet(), "model")


def efficientnet(**given: Any) -> dict[str, Any]:
    target = "seedfold.trainers.models.efficientnet.efficientnet"
    return {"_target_": target, "name": "efficientnet-b0", "in_channels": 3, "classes": 5, **given}


@pytest.mark.slow
def test_an_efficientnet_learns_and_begins_with_weights_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("monai")
    with pytest.raises(ConfigFailure, match=r"model\.name: "):
        build(efficientnet(name="efficientnet-b99"), "model")
    torch.manual_seed(0)
    network = build(efficientnet(dropout=0.0), "model")
    images, targets = torch.rand(10, 3, 32, 32), torch.arange(10) % 5
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    same = build(efficientnet(pretrained=str(tmp_path / "weights.pt")), "model")
    assert torch.equal(same.eval()(images), network.eval()(images))
    fewer = build(efficientnet(pretrained=str(tmp_path / "weights.pt"), classes=2), "model")
    assert fewer(images).shape == (10, 2)
    with pytest.raises(DataFailure, match="holds weights of another network"):
        build(efficientnet(pretrained=str(tmp_path / "weights.pt"), name="efficientnet-b2"), "model")
    headed = build(efficientnet(pretrained=str(tmp_path / "weights.pt"), dense=[32], classes=1), "model").eval()
    assert [tuple(each.shape) for each in headed._fc.parameters()] == [(32, 1280), (32,), (1, 32), (1,)]
    assert headed(images).shape == (10, 1)
    _begins_with_published_weights(network, images, tmp_path, monkeypatch)
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(DataFailure, match=r"model\.pretrained: .*weights\.pt"):
        build(efficientnet(pretrained=str(tmp_path / "weights.pt")), "model")


def _begins_with_published_weights(network: Any, images: Any, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put weights where published ones belong, with the names that published ones have."""
    patch.setenv("TORCH_HOME", str(folder))
    file = folder / "hub" / "checkpoints" / "efficientnet-b0-355c32eb.pth"
    with pytest.raises(DataFailure, match=rf"imagenet of efficientnet-b0 is not here; download https://.* to {file}"):
        build(efficientnet(pretrained="imagenet"), "model")
    file.parent.mkdir(parents=True)
    names = {key: re.sub(r"^_blocks\.\d+\.", "_blocks.", key) for key in network.state_dict()}
    torch.save({names[key]: value for key, value in network.state_dict().items() if "tracked" not in key}, file)
    same = build(efficientnet(pretrained="imagenet"), "model")
    assert torch.equal(same.eval()(images), network.eval()(images))


def test_weights_that_nobody_published_or_that_are_not_there_are_said_to_be(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    with torch.device("meta"):
        with pytest.raises(
            ConfigFailure, match="there are no published weights imagenet of efficientnet-l2; give a file"
        ):
            build(efficientnet(name="efficientnet-l2", pretrained="imagenet"), "model")
        with pytest.raises(DataFailure, match=r"gone\.pt: no such file; put the weights there, or name one of"):
            build(efficientnet(pretrained=str(tmp_path / "gone.pt")), "model")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "millions"),
    # Tan and Le 2019, table 2 (B0 to B7, without the 1000 classes' biases); Xie et al. 2020, table 7 (L2).
    [("b0", 5.3), ("b1", 7.8), ("b2", 9.2), ("b3", 12), ("b4", 19), ("b5", 30), ("b6", 43), ("b7", 66), ("l2", 480)],
)
def test_networks_have_as_many_parameters_as_published(name: str, millions: float) -> None:
    pytest.importorskip("monai")
    with torch.device("meta"):
        network = build(efficientnet(name=f"efficientnet-{name}", classes=1000), "model")
    count = sum(each.numel() for each in network.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    # S, M, L: torchvision's pages of its networks; XL: timm's table, 208.12 million.
    [("s", 21_458_488), ("m", 54_139_356), ("l", 118_515_272), ("xl", 208_119_808)],
)
def test_networks_of_the_second_kind_have_as_many_parameters_as_elsewhere(name: str, count: int) -> None:
    pytest.importorskip("monai")
    with torch.device("meta"):
        network = build(efficientnet(name=f"efficientnetv2-{name}", classes=1000), "model")
        assert network(torch.rand(2, 3, 64, 96)).shape == (2, 1000)
    assert sum(each.numel() for each in network.parameters()) == count


@pytest.mark.slow
def test_weights_of_other_programs_are_taken_by_their_order(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    torch.manual_seed(0)
    network = build(efficientnet(name="efficientnetv2-s", classes=2), "model").eval()
    own = network.state_dict()
    weights = {f"features.{i}.{key.rpartition('.')[2]}": own[key] for i, key in enumerate(own)}
    torch.save(weights, tmp_path / "elsewhere.pt")
    given = {"name": "efficientnetv2-s", "pretrained": str(tmp_path / "elsewhere.pt")}
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(build(efficientnet(**given, classes=2), "model").eval()(images), network(images))
    with pytest.raises(DataFailure, match=r"elsewhere\.pt: holds weights of another network, as shown by"):
        build(efficientnet(**(given | {"name": "efficientnetv2-m"}), classes=2), "model")
    with pytest.raises(DataFailure, match=r"elsewhere\.pt: holds weights of another network, as shown by"):
        build(efficientnet(**(given | {"name": "efficientnet-b0"}), classes=2), "model")


@pytest.mark.parametrize(
    ("name", "count"),
    # Those of the published networks for 1000 classes, less these classes' rows and with one instead.
    [("b2", 7_702_403), ("b4", 17_550_409), ("b6", 40_738_009)],
)
def test_networks_of_melanoma_have_one_logit_behind_the_average(
    compose: Callable[..., dict[str, Any]], name: str, count: int
) -> None:
    pytest.importorskip("monai")
    with torch.device("meta"):
        network = build(
            compose("task=melanoma", "model=melanoma_full", f"model.name=efficientnet-{name}")["model"], "model"
        )
    assert sum(each.numel() for each in network.parameters()) == count
