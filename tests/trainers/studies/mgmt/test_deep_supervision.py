from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.studies.mgmt.deep_supervision import DeepSupervisionCNN, StandardisedConv3d, make_block_channels

FOUR = dict.fromkeys(("t2w", "fla", "t1w", "t1c"), True)
TWO = {**FOUR, "t2w": False, "t1w": False}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        # 27 weights a kernel, two values a channel and norm, one weight a channel and one bias a head.
        ({}, 27 * (576 + 3_840 + 10_752 + 21_120 + 34_944) + 2 * 3 * 320 + (320 + 112) + 6),
        ({"blocks": [4, 4, 3, 2, 2]}, 1_427_670),
        ({"blocks": [3, 0, 3, 3, 3]}, 27 * (576 + 3_840 + 10_752 + 21_120) + 2 * 3 * 208 + (208 + 88) + 5),
        ({"modalities": TWO}, 1_925_622 - 27 * 2 * 16),
        ({"norm": "group", "pooling": "max", "dropout": 0.5}, 1_925_622),
        # Maps of 16³ voxels and 16 channels, 8³ and 40, 4³ and 64, 2³ and 88, 1 and 112.
        ({"pooling": "flatten"}, 1_925_622 - 432 + 65_536 + 20_480 + 4_096 + 704 + 112 + 112),
    ],
)
def test_parameters_are_as_many_as_counted_by_hand(settings: dict[str, Any], count: int) -> None:
    assert parameters(DeepSupervisionCNN(**{"modalities": FOUR, "size": [16, 16, 16], **settings})) == count


def test_channels_grow_by_addition_or_multiplication() -> None:
    assert make_block_channels(16, 24, 5) == [16, 40, 64, 88, 112]
    assert make_block_channels(16, 1.5, 5) == [16, 24, 36, 54, 81]
    assert make_block_channels(16, 2.0, 3) == [16, 32, 64]


def test_every_block_has_a_head_and_a_dropped_one_has_none() -> None:
    volumes = torch.randn(2, 5, 9, 10, 12)
    network = DeepSupervisionCNN(FOUR, [9, 10, 12], channels=4, growth=2, pooling="flatten")
    logits = network(volumes)
    assert list(logits) == ["last", "block_1", "block_2", "block_3", "block_4", "block_5"]
    assert {each.shape for each in logits.values()} == {(2, 1)}
    fewer = DeepSupervisionCNN(FOUR, [9, 10, 12], blocks=[1, 0, 2], channels=4, growth=2)
    assert list(fewer(volumes)) == ["last", "block_1", "block_2"]


@pytest.mark.parametrize(
    ("blocks", "channels", "sides"),
    [
        ([3, 3, 0, 3, 3], [16, 40, 64, 88], [8, 4, 2, 1]),
        ([0, 3, 3], [16, 40], [8, 4]),
        ([1, 0, 0, 1], [16, 40], [8, 4]),
    ],
)
def test_a_dropped_block_leaves_no_gap(blocks: list[int], channels: list[int], sides: list[int]) -> None:
    network = DeepSupervisionCNN(TWO, [8, 8, 8], blocks=blocks)
    found, current = [], torch.randn(2, 2, 8, 8, 8)
    for name, block in network.blocks.items():
        current = block(current)
        found.append((name, *current.shape[1:3]))
    names = [f"block_{number}" for number in range(1, len(channels) + 1)]
    assert found == list(zip(names, channels, sides, strict=True))


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_heads_of_blocks_see_the_tumour_only_and_the_last_one_everything(pooling: str) -> None:
    torch.manual_seed(0)
    network = DeepSupervisionCNN(TWO, [8, 8, 8], blocks=[1, 1], channels=4, growth=4, pooling=pooling).eval()
    volumes = torch.randn(1, 3, 8, 8, 8)
    volumes[:, 2] = 0
    volumes[:, 2, :2, :2, :2] = 1
    far = volumes.clone()
    far[:, :2, 5:, 5:, 5:] += 1.0
    with torch.no_grad():
        before, after = network(volumes), network(far)
    assert torch.equal(before["block_1"], after["block_1"])
    assert torch.equal(before["block_2"], after["block_2"])
    assert not torch.equal(before["last"], after["last"])


def test_standardised_kernels_do_not_depend_on_their_scale() -> None:
    torch.manual_seed(0)
    convolution, volumes = StandardisedConv3d(2, 3, 3, padding=1, bias=False), torch.randn(1, 2, 5, 5, 5)
    before = convolution(volumes)
    with torch.no_grad():
        convolution.weight.mul_(3.0).add_(0.7)
    assert torch.allclose(convolution(volumes), before, atol=1e-2)


def test_only_wide_blocks_drop_values() -> None:
    network = DeepSupervisionCNN(FOUR, [8, 8, 8], dropout=0.3, dropout_above=64)
    drops = [any(isinstance(layer, nn.Dropout) for layer in block.children()) for block in network.blocks.values()]
    assert drops == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"blocks": [0, 0]}, r"blocks: \[0, 0\] has no convolution"),
        ({"norm": "layer"}, "norm: 'layer' is not one of batch, group"),
        ({"pooling": "mean"}, "pooling: 'mean' is not one of avg, max, flatten"),
        ({"norm": "group", "growth": 1.6}, "groups: 8 do not divide a block of 26 channels"),
        ({"modalities": dict.fromkeys(FOUR, False)}, "none of t2w, fla, t1w, t1c is switched on"),
    ],
)
def test_what_cannot_be_built_is_a_failure_of_the_configuration(settings: dict[str, Any], says: str) -> None:
    target = "seedfold.trainers.studies.mgmt.deep_supervision.DeepSupervisionCNN"
    with pytest.raises(ConfigFailure, match=says):
        build({"_target_": target, "modalities": FOUR, "size": [8, 8, 8], **settings}, "model")


@pytest.mark.slow
def test_a_volume_of_the_real_size_passes() -> None:
    network = DeepSupervisionCNN(FOUR, [96, 96, 96]).eval()
    sides = {}
    for name, block in network.blocks.items():
        block.register_forward_hook(lambda _, __, output, name=name: sides.update({name: output.shape[1:]}))
    with torch.no_grad():
        logits = network(torch.randn(1, 5, 96, 96, 96))
    assert [tuple(shape) for shape in sides.values()] == [
        (16, 96, 96, 96), (40, 48, 48, 48), (64, 24, 24, 24), (88, 12, 12, 12), (112, 6, 6, 6),
    ]  # fmt: skip
    assert all(torch.isfinite(each).all() for each in logits.values())
