"""Random transforms of batches of images. Each image has its own random numbers, which all come from one generator.

A `Pipeline` has transforms that are for training only, such as coarse dropout; test-time augmentation leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.augmentation.batches import Augmentation

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Pipeline:
    """Transforms by name in the order of their names' appearance: ``always``, and while training ``training`` as well.

    Values are cut to ``limits`` (lowest, highest) at the end, if given. An entry that is null is left out.
    """

    def __init__(
        self,
        always: Mapping[str, Augmentation | None],
        training: Mapping[str, Augmentation | None] | None = None,
        limits: Sequence[float] | None = None,
    ) -> None:
        self._always = [transform for transform in always.values() if transform]
        self._training = [transform for transform in (training or {}).values() if transform]
        self._limits = limits

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return images (b, channels, height, width) as training sees them."""
        return self._run([*self._always, *self._training], inputs, generator)

    def for_prediction(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return images as a pass of test-time augmentation sees them."""
        return self._run(self._always, inputs, generator)

    def _run(self, transforms: Sequence[Augmentation], inputs: Tensor, generator: torch.Generator) -> Tensor:
        for transform in transforms:
            inputs = transform(inputs, generator)
        return inputs if self._limits is None else inputs.clamp(self._limits[0], self._limits[1])


def prediction_augmentation(augment: Augmentation) -> Augmentation:
    """Return the augmentation for test time: the augmentation itself, unless it has another one for prediction."""
    return augment.for_prediction if isinstance(augment, Pipeline) else augment


class Flip:
    """Flip each image along each axis with its probability."""

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0) -> None:
        self._horizontal, self._vertical = horizontal, vertical

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the flipped images."""
        drawn = torch.rand((2, len(inputs)), generator=generator, device=inputs.device)
        for row, (probability, axis) in enumerate(((self._horizontal, 3), (self._vertical, 2))):
            flips = (drawn[row] < probability)[:, None, None, None]
            inputs = torch.where(flips, inputs.flip(axis), inputs)
        return inputs


class Affine:
    """Turn, shear, scale and shift each image by normally distributed amounts, about its centre.

    Standard deviations: ``degrees`` of the turn, ``shear`` of the shear in degrees, ``zoom`` of the factor about 1 of
    each axis, ``shift`` in pixels of each axis. Pixels are interpolated bilinearly; what comes in from outside is the
    ``border`` repeated, or ``zeros``.
    """

    def __init__(
        self,
        *,
        degrees: float = 0.0,
        shear: float = 0.0,
        zoom: float = 0.0,
        shift: float = 0.0,
        outside: str = "border",
    ) -> None:
        if outside not in ("border", "zeros"):
            raise ConfigFailure(f"augment: outside {outside!r} is not one of border, zeros")
        self._degrees, self._shear, self._zoom, self._shift = degrees, shear, zoom, shift
        self._outside = outside

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the moved images."""
        drawn = torch.randn((6, len(inputs)), generator=generator, device=inputs.device, dtype=inputs.dtype)
        maps = self._affine_maps(drawn, inputs.shape[2], inputs.shape[3])
        grid = functional.affine_grid(maps, list(inputs.shape), align_corners=False)
        moved: Tensor = functional.grid_sample(inputs, grid, padding_mode=self._outside, align_corners=False)
        return moved

    def _affine_maps(self, drawn: Tensor, height: int, width: int) -> Tensor:
        """Maps (b, 2, 3) from places in the new image to places in the old, in units of half a side."""
        turn, shear = (math.radians(sd) * drawn[row] for row, sd in enumerate((self._degrees, self._shear)))
        # A zoom near 0 or below would show the image from behind.
        zoom = (1 + self._zoom * drawn[2:4]).clamp(min=0.1)
        right, down = self._shift * drawn[4:6] * torch.tensor([[2 / width], [2 / height]]).to(drawn)
        cosine, sine, ratio = turn.cos(), turn.sin(), height / width
        across = torch.stack([cosine / zoom[0], (-sine - cosine * shear.tan()) / zoom[0] * ratio, right], dim=1)
        along = torch.stack([sine / zoom[1] / ratio, (cosine - sine * shear.tan()) / zoom[1], down], dim=1)
        return torch.stack([across, along], dim=1)


class Brightness:
    """Add to all values of each image up to ±``most``, drawn evenly."""

    def __init__(self, most: float) -> None:
        self._most = most

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the brighter or darker images."""
        return inputs + _draw_uniform(inputs, -self._most, self._most, generator)


class Contrast:
    """Scale the distance of each value from its channel's mean by a factor between ``least`` and ``most``."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images with more or less contrast."""
        mean = inputs.mean(dim=(2, 3), keepdim=True)
        return mean + (inputs - mean) * _draw_uniform(inputs, self._least, self._most, generator)


class Saturation:
    """Scale the distance of each pixel from its grey by a factor between ``least`` and ``most``.

    Grey is the luma of three channels as red, green and blue.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images with more or less colour; raises ConfigFailure unless they have three channels."""
        if inputs.shape[1] != 3:
            raise ConfigFailure(f"augment: saturation needs three channels, not {inputs.shape[1]}; set it to null")
        weights = torch.tensor(_LUMA_WEIGHTS, dtype=inputs.dtype, device=inputs.device)[None, :, None, None]
        grey = (inputs * weights).sum(dim=1, keepdim=True)
        return grey + (inputs - grey) * _draw_uniform(inputs, self._least, self._most, generator)


class CoarseDropout:
    """Blank ``count`` squares at random places, each of ``size`` of the smaller side, in a share of the images.

    An image is changed with ``probability``; squares may overlap, and reach over the edge by half their side.
    """

    def __init__(self, *, probability: float = 0.5, count: int = 8, size: float = 0.05, value: float = 0.0) -> None:
        self._probability, self._count, self._size, self._value = probability, count, size, value

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images with holes."""
        number, _, height, width = inputs.shape
        drawn = torch.rand((number, 1 + 2 * self._count), generator=generator, device=inputs.device)
        half = self._size * min(height, width) / 2
        rows = _pixels_within(drawn[:, 1 : 1 + self._count] * height, height, half)
        columns = _pixels_within(drawn[:, 1 + self._count :] * width, width, half)
        holes = (rows[:, :, :, None] & columns[:, :, None, :]).any(dim=1)
        holes &= (drawn[:, 0] < self._probability)[:, None, None]
        return inputs.masked_fill(holes[:, None], self._value)


def _pixels_within(centres: Tensor, length: int, half: float) -> Tensor:
    """Which of ``length`` pixels (b, count, length) lie within ``half`` of each centre (b, count)."""
    middles = torch.arange(length, device=centres.device) + 0.5
    return (middles - centres[:, :, None]).abs() < half


def _draw_uniform(inputs: Tensor, minimum: float, maximum: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand((len(inputs), 1, 1, 1), generator=generator, device=inputs.device, dtype=inputs.dtype)
    return minimum + (maximum - minimum) * drawn
