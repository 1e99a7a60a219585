"""Random changes of a batch of images, drawn from a given generator so that they repeat exactly."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Augment(Protocol):
    """Changes a batch: (b, ...) in, (b, ...) out, random numbers from ``generator`` alone."""

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed batch."""


class Shift:
    """Move each image by up to ``pixels`` whole pixels along both axes; what comes in from outside is 0."""

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
