"""Thumbnails of inputs: an image as a small PNG, of a volume its middle slice.

Pillow is not needed for what this writes, so that jobs without image files need not have it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.results.store.thumbnails import LONGEST_SIDE, PNG_SIGNATURE

Pixels = NDArray[np.uint8]
_COLOURS = 3
_GREY, _RGB = 0, 2
"""Types of colour of a PNG."""


def make_thumbnail(values: NDArray[Any]) -> bytes | None:
    """Return the PNG of an input, at most `LONGEST_SIDE` pixels wide and high; None for what is no image.

    An input is (height, width), (channels, height, width) or (channels, depth, height, width), integers of 0 … 255 or
    floats. Three channels are colours; of another number the middle one is shown, and of a volume its middle slice.
    Floats that are not all in 0 … 1 are stretched from the smallest to the largest.
    """
    image = _to_image(values)
    if image is None or min(image.shape[:2]) < 2:
        return None
    return _to_png(_to_pixels(_shrink(image)))


def _to_image(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return (height, width) or (height, width, 3)."""
    if values.ndim == 4:
        return np.asarray(values[0, values.shape[1] // 2])
    if values.ndim == 3:
        return np.moveaxis(values, 0, -1) if len(values) == _COLOURS else np.asarray(values[len(values) // 2])
    return values if values.ndim == 2 else None


def _shrink(image: NDArray[Any]) -> NDArray[Any]:
    """Return means of squares, so many pixels wide that the longest side is short enough; integers stay in 0 … 255."""
    factor = -(-max(image.shape[:2]) // LONGEST_SIDE)
    if factor == 1:
        return image
    height, width = (max(1, side // factor) for side in image.shape[:2])
    rows, columns = min(image.shape[0], height * factor), min(image.shape[1], width * factor)
    cut = image[:rows, :columns]
    down, across = rows // height, columns // width
    parts = cut[: height * down, : width * across].reshape(height, down, width, across, *image.shape[2:])
    means = parts.mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(means.round().astype(image.dtype) if image.dtype.kind in "iu" else means)


def _to_pixels(image: NDArray[Any]) -> Pixels:
    if image.dtype == np.uint8:
        return image
    values = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        values = (values - low) / (high - low)
    return (values * 255).round().astype(np.uint8)


def _to_png(pixels: Pixels) -> bytes:
    """Return (height, width) or (height, width, 3) as PNG: ISO/IEC 15948, with 8 bits for each value, unfiltered."""
    height, width = pixels.shape[:2]
    colour = _RGB if pixels.ndim == 3 else _GREY
    lines = np.zeros((height, 1 + pixels[0].size), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
