"""Random changes of batches of images."""

from __future__ import annotations

import pytest
import torch

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.augmentation.batches import CropFlip


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Images (count, 2, height, width) whose pixels are all different; the second channel is the first plus a half."""
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    return torch.cat([image, image + 0.5], dim=1).repeat(count, 1, 1, 1)


def test_parts_are_cut_at_random_places_and_flipped_half_of_the_time() -> None:
    images = numbered(400, 7, 9)
    parts = CropFlip([5, 6])(images, torch.Generator().manual_seed(0))
    assert parts.shape == (400, 2, 5, 6)
    assert torch.equal(parts[:, 1], parts[:, 0] + 0.5)
    flipped = parts[:, 0, 0, 0] > parts[:, 0, 0, 1]
    assert 150 < flipped.sum() < 250
    upright = torch.where(flipped[:, None, None], parts[:, 0].flip(2), parts[:, 0])
    rows, columns = upright[:, 0, 0] // 9, upright[:, 0, 0] % 9
    assert rows.unique().tolist() == [0, 1, 2]
    assert columns.unique().tolist() == [0, 1, 2, 3]
    for part, row, column in zip(upright[:20], rows.int().tolist(), columns.int().tolist(), strict=False):
        assert torch.equal(part, images[0, 0, row : row + 5, column : column + 6])
    again = CropFlip([5, 6])(images, torch.Generator().manual_seed(0))
    assert torch.equal(parts, again)


def test_a_part_of_the_whole_size_changes_nothing_but_the_side() -> None:
    images = numbered(3, 4, 5)
    whole = CropFlip([4, 5], flip_horizontal=0.0)(images, torch.Generator().manual_seed(0))
    assert torch.equal(whole, images)
    mirrored = CropFlip([4, 5], flip_horizontal=1.0)(images, torch.Generator().manual_seed(0))
    assert torch.equal(mirrored, images.flip(3))
    with pytest.raises(ConfigFailure, match=r"augment.size: \[5, 5\] is larger than images of \[4, 5\]"):
        CropFlip([5, 5])(images, torch.Generator())
