"""Random changes of images together with their masks, in levels: a higher level adds to the changes of the lower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.augmentation.batches import Augmentation
from seedfold.trainers.augmentation.transforms import Flip

_LEVEL_KEYS = ("together", "images")
Transforms = Mapping[str, Augmentation | None]


class Levels:
    """The transforms of the first ``level`` of ``levels``, in their order; 0 changes nothing.

    Each of ``levels`` names those that move pixels, ``together`` with their masks, and those of ``images`` alone; an
    entry that is null is left out. All that move come first. ``classes`` is the number of classes of a mask. Raises
    ConfigFailure for a level that does not exist.
    """

    def __init__(self, level: int, classes: int, levels: Mapping[str, Mapping[str, Transforms | None]]) -> None:
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= len(levels):
            raise ConfigFailure(f"augment.level: {level!r} is not among 0 to {len(levels)}")
        for name, each in levels.items():
            for key in each:
                if key not in _LEVEL_KEYS:
                    raise ConfigFailure(f"augment.levels.{name}.{key}: unknown key; known: {', '.join(_LEVEL_KEYS)}")
        self._classes = classes
        self._shared_transforms, self._image_transforms = (
            _collect_transforms(list(levels.values())[:level], key) for key in _LEVEL_KEYS
        )

    def __call__(self, images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images (b, channels, height, width) and masks (b, height, width) uint8, both changed alike.

        A pixel gets the class that most of it comes from; what comes in as zeros is of class 0.
        """
        channels = images.shape[1]
        others = functional.one_hot(masks.long(), self._classes)[..., 1:].movedim(-1, 1)
        moved = torch.cat([images, others.to(images.dtype)], dim=1)
        for transform in self._shared_transforms:
            moved = transform(moved, generator)
        images, others = moved[:, :channels], moved[:, channels:]
        for transform in self._image_transforms:
            images = transform(images, generator)
        background = 1 - others.sum(1, keepdim=True)
        return images, torch.cat([background, others], dim=1).argmax(1).to(masks.dtype)


class Mirror:
    """Mirror each slice with a probability along its horizontal axis: its height, or its width where ``upright``."""

    def __init__(self, probability: float = 0.5, upright: bool = False) -> None:
        self._flip = Flip(probability, 0.0) if upright else Flip(0.0, probability)

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mirrored slices."""
        return self._flip(inputs, generator)


def _collect_transforms(levels: Sequence[Mapping[str, Transforms | None]], key: str) -> list[Augmentation]:
    return [transform for level in levels for transform in (level.get(key) or {}).values() if transform]
