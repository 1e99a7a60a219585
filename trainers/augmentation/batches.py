"""Random changes of a batch of images, drawn from a given generator so that they repeat exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from seedfold.jobs.work import ConfigFailure


class Augmentation(Protocol):
    """Changes a batch: (b, ...) in, (b, ...) out, random numbers from ``generator`` alone."""

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed batch."""


class Shift:
    """Move each image by up to ``pixels`` whole pixels along both axes; pixels from outside the image are 0."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return shifted images (b, channels, height, width)."""
        count, channels, height, width = inputs.shape
        padded = functional.pad(inputs, [self.pixels] * 4)
        offsets = torch.randint(2 * self.pixels + 1, (2, count, 1), generator=generator, device=inputs.device)
        rows = (offsets[0] + torch.arange(height, device=inputs.device))[:, None, :, None]
        columns = (offsets[1] + torch.arange(width, device=inputs.device))[:, None, None, :]
        image = torch.arange(count, device=inputs.device)[:, None, None, None]
        channel = torch.arange(channels, device=inputs.device)[None, :, None, None]
        return padded[image, channel, rows, columns]


class CropFlip:
    """Take a part of ``size`` (height, width) of each image at a random place, and flip it from left to right."""

    def __init__(self, size: Sequence[int], flip_horizontal: float = 0.5) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.flip_horizontal = flip_horizontal

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return parts of ``size`` of images (b, channels, height, width).

        Raises ConfigFailure for images that are smaller.
        """
        spare = [side - part for side, part in zip(inputs.shape[2:], self.size, strict=True)]
        if min(spare) < 0:
            raise ConfigFailure(f"augment.size: {list(self.size)} is larger than images of {list(inputs.shape[2:])}")
        drawn = torch.rand((3, len(inputs)), generator=generator, device=inputs.device)
        first = [(drawn[axis] * (spare[axis] + 1)).long().clamp(max=spare[axis])[:, None] for axis in (0, 1)]
        rows, columns = (
            start + torch.arange(part, device=inputs.device) for start, part in zip(first, self.size, strict=True)
        )
        columns = torch.where(drawn[2, :, None] < self.flip_horizontal, columns.flip(1), columns)
        image = torch.arange(len(inputs), device=inputs.device)[:, None, None]
        # Chosen in one step, with the channels last.
        return inputs[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class FlipAffineColor:
    """Mild changes of colour images with values in 0 … 1: flips, a small affine map, brightness and contrast.

    Each image is flipped along each axis with its probability, turned by up to ``degrees``, scaled by 1 ± ``zoom``,
    moved by up to ``shift`` of its side, made brighter by up to ±``brightness``, and its contrast changed by
    1 ± ``contrast`` about its mean; all drawn evenly. What comes in from outside repeats the border.
    """

    def __init__(
        self,
        *,
        flip_horizontal: float = 0.5,
        flip_vertical: float = 0.0,
        degrees: float = 10.0,
        zoom: float = 0.1,
        shift: float = 0.05,
        brightness: float = 0.1,
        contrast: float = 0.1,
    ) -> None:
        self.flips = (flip_horizontal, flip_vertical)
        self.degrees, self.zoom, self.shift = degrees, zoom, shift
        self.brightness, self.contrast = brightness, contrast

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images (b, channels, height, width)."""
        drawn = torch.rand((8, len(inputs)), generator=generator, device=inputs.device)
        maps = self._affine_maps(drawn[:6], inputs.shape[2] / inputs.shape[3])
        grid = functional.affine_grid(maps, list(inputs.shape), align_corners=False)
        moved = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
        brightness, contrast = (2 * drawn[6:] - 1)[:, :, None, None, None]
        mean = moved.mean(dim=(1, 2, 3), keepdim=True)
        changed: Tensor = (moved - mean) * (1 + self.contrast * contrast) + mean + self.brightness * brightness
        return changed.clamp(0, 1)

    def _affine_maps(self, drawn: Tensor, ratio: float) -> Tensor:
        """Maps (b, 2, 3) from places in the new image to places in the old, of -1 … 1; ``ratio`` is height / width."""
        horizontal, vertical = (1 - 2 * (drawn[axis] < self.flips[axis]).float() for axis in (0, 1))
        angle, zoom, right, down = 2 * drawn[2:] - 1
        angle, scale = angle * math.radians(self.degrees), 1 / (1 + self.zoom * zoom)
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        first = torch.stack([horizontal * cosine, -horizontal * sine * ratio, 2 * self.shift * right], dim=1)
        second = torch.stack([vertical * sine / ratio, vertical * cosine, 2 * self.shift * down], dim=1)
        return torch.stack([first, second], dim=1)
