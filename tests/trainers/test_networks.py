from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.augment import Shift
from seedfold.trainers.build import build
from seedfold.trainers.networks import MLP, SmallCNN
from seedfold.trainers.randomness import generator


def test_the_networks_return_logits() -> None:
    assert MLP(features=12, classes=3, hidden=[5, 4])(torch.zeros(7, 3, 4)).shape == (7, 3)
    assert MLP(features=12, classes=3, hidden=[])(torch.zeros(7, 12)).shape == (7, 3)
    assert SmallCNN(in_channels=2, size=[8, 12], classes=4)(torch.zeros(5, 2, 8, 12)).shape == (5, 4)


def test_an_image_too_small_for_the_blocks_is_a_failure_of_the_configuration() -> None:
    node = {"_target_": "seedfold.trainers.networks.SmallCNN", "in_channels": 1, "size": [2, 8], "classes": 2}
    with pytest.raises(ConfigFailure, match="model: ValueError: 2 blocks halve an image of 2x8 to nothing"):
        build(node, "model")


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (None, "model: names nothing to build"),
        ({"_target_": "seedfold.trainers.networks.MPL"}, "model: .*MPL"),
        ({"_target_": "seedfold.trainers.networks.MLP", "feature": 3}, "model: TypeError: .*feature"),
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
    moved = Shift(pixels)(images, generator(torch.device("cpu"), seed))
    assert torch.equal(moved, Shift(pixels)(images, generator(torch.device("cpu"), seed)))
    assert torch.equal(moved[:, 1], 2 * moved[:, 0])
    places = moved[:, 0].nonzero()
    assert len(places) == 20
    assert (places[:, 1:] - 4).abs().max() <= pixels


def test_shifts_differ_between_images() -> None:
    images = torch.rand(50, 1, 8, 8)
    moved = Shift(2)(images, generator(torch.device("cpu"), 0))
    same = [torch.equal(before, after) for before, after in zip(images, moved, strict=True)]
    assert not all(same)
