from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.augmentation.batches import Augmentation, Shift
from seedfold.trainers.augmentation.transforms import (
    Affine,
    Brightness,
    CoarseDropout,
    Contrast,
    Flip,
    Pipeline,
    Saturation,
    prediction_augmentation,
)
from seedfold.trainers.setup.build import build
from seedfold.trainers.setup.randomness import make_generator


def changed(transform: Augmentation, images: Tensor, seed: int = 0) -> Tensor:
    return transform(images, make_generator(torch.device("cpu"), seed))


IMAGES = torch.rand(400, 3, 12, 16, generator=torch.Generator().manual_seed(7))


def test_flips_happen_as_often_as_asked() -> None:
    flipped = changed(Flip(0.25, 1.0), IMAGES)
    both = IMAGES.flip(2)
    same = (flipped == both).all(1).all(1).all(1)
    mirrored = (flipped == both.flip(3)).all(1).all(1).all(1)
    assert (same | mirrored).all()
    assert 0.15 < mirrored.float().mean() < 0.35


def blob(side: int = 65) -> Tensor:
    """A small bright spot above and to the right of the middle, in each of many images."""
    image = torch.zeros(500, 1, side, side)
    image[:, :, 19:22, 45:48] = 1.0
    return image


def centre(images: Tensor) -> Tensor:
    """The centres of mass (b, 2), down and right, from the middle of the image."""
    weights = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    places = torch.arange(images.shape[2]) - (images.shape[2] - 1) / 2
    return torch.stack([(weights.sum(2) * places).sum(1), (weights.sum(1) * places).sum(1)], dim=1)


def test_affine_maps_have_the_spread_that_is_asked_for() -> None:
    down, right = -12.0, 14.0
    assert torch.allclose(changed(Affine(), blob()), blob(), atol=1e-4)
    shifted = centre(changed(Affine(shift=3.0, outside="zeros"), blob())) - torch.tensor([down, right])
    assert torch.allclose(shifted.std(0), torch.tensor([3.0, 3.0]), rtol=0.1)
    assert shifted.mean(0).abs().max() < 0.4
    zoomed = centre(changed(Affine(zoom=0.1), blob())) / torch.tensor([down, right])
    assert torch.allclose(zoomed.std(0), torch.tensor([0.1, 0.1]), rtol=0.15)
    sheared = centre(changed(Affine(shear=4.0), blob())) - torch.tensor([down, right])
    assert sheared[:, 0].abs().max() < 0.1
    assert sheared[:, 1].std() == pytest.approx(12 * 0.07, rel=0.15)
    turned = centre(changed(Affine(degrees=10.0, outside="zeros"), blob()))
    assert torch.allclose(turned.norm(dim=1), torch.full((500,), 18.44), atol=0.15)
    angles = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    assert angles.std() == pytest.approx(10.0, rel=0.1)


def test_colours_change_as_defined() -> None:
    brighter = changed(Brightness(0.2), IMAGES) - IMAGES
    assert torch.allclose(brighter, brighter[:, :1, :1, :1], atol=1e-6)
    assert brighter.abs().max() <= 0.2
    assert brighter.min() < -0.15 < 0.15 < brighter.max()
    contrasted = changed(Contrast(0.5, 1.5), IMAGES)
    assert torch.allclose(contrasted.mean((2, 3)), IMAGES.mean((2, 3)), atol=1e-5)
    factors = contrasted.std((1, 2, 3)) / IMAGES.std((1, 2, 3))
    assert 0.45 < factors.min() < 0.6
    assert 1.4 < factors.max() < 1.55
    luma = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    saturated = changed(Saturation(0.0, 0.0), IMAGES)
    assert torch.allclose(saturated, (IMAGES * luma).sum(1, keepdim=True).expand_as(IMAGES), atol=1e-6)
    with pytest.raises(ConfigFailure, match="saturation needs three channels, not 1; set it to null"):
        changed(Saturation(0.7, 1.3), IMAGES[:, :1])


def test_coarse_dropout_blanks_squares_in_its_share_of_the_images() -> None:
    images = torch.ones(400, 3, 40, 60)
    holed = changed(CoarseDropout(probability=0.25, count=2, size=0.1), images)
    blanked = (holed == 0).float()
    assert torch.equal(blanked[:, 0], blanked[:, 1])
    changed_share = (blanked.sum((1, 2, 3)) > 0).float().mean()
    assert 0.18 < changed_share < 0.32
    area = blanked[:, 0].sum((1, 2))
    assert area.max() <= 2 * 16
    assert area[area > 0].mean() > 20
    assert torch.equal(changed(CoarseDropout(probability=0.0), images), images)


def test_passes_of_prediction_leave_out_what_is_for_training(compose: Callable[..., dict[str, Any]]) -> None:
    images = torch.rand(20, 3, 30, 30) + 1
    augment = build(compose("augment=random_transforms")["augment"], "augment")
    holes = [bool((changed(one, images) == 0).any()) for one in (augment, prediction_augmentation(augment))]
    assert holes == [True, False]
    shift = Shift(1)
    assert prediction_augmentation(shift) is shift
    first, again, other = (changed(augment, images, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    limited = build(compose("augment=melanoma")["augment"], "augment")
    assert changed(limited, images).max() == 1.0
    assert changed(limited, images).min() > 0.0
    nothing = Pipeline({"flip": None})
    assert torch.equal(changed(nothing, images), images)
