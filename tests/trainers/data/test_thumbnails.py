"""Thumbnails of inputs show what is in them, whatever their shape and scale."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seedfold.results.store.thumbnails import is_thumbnail
from seedfold.trainers.data.thumbnails import make_thumbnail

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def decode(values: NDArray[Any]) -> NDArray[np.uint8]:
    png = make_thumbnail(values)
    assert png is not None
    assert is_thumbnail(png)
    return np.asarray(Image.open(io.BytesIO(png)))


def test_bytes_and_shares_are_shown_as_they_are() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(1, 4, 6) * 10
    assert np.array_equal(decode(image), image[0])
    assert np.array_equal(decode(image[0]), image[0])
    assert np.array_equal(decode(image.astype(np.float32) / 255), image[0])


def test_standardised_values_are_stretched() -> None:
    shown = decode(np.array([[[-1.5, 0.0], [0.5, 2.5]]], dtype=np.float32))
    assert shown.tolist() == [[0, 96], [128, 255]]


def test_colours_stay_colours_and_large_images_become_means() -> None:
    image = np.zeros((3, 200, 130), dtype=np.float32)
    image[0, :, :65] = 1
    shown = decode(image)
    assert shown.shape == (50, 32, 3)
    assert shown[0, 0].tolist() == [255, 0, 0]
    assert shown[0, -1].tolist() == [0, 0, 0]
    assert decode(np.full((1, 3, 1000), 7, dtype=np.uint8)).max() == 7


def test_of_a_volume_and_of_many_channels_the_middle_is_shown() -> None:
    slices = np.stack([np.full((5, 6), number, dtype=np.uint8) for number in (10, 20, 30, 40, 50)])
    assert np.unique(decode(slices)).tolist() == [30]
    assert np.unique(decode(slices[None])).tolist() == [30]


@pytest.mark.parametrize("shape", [(64,), (1, 1, 30), (1, 2, 3, 4, 5)])
def test_what_is_no_image_has_no_thumbnail(shape: tuple[int, ...]) -> None:
    assert make_thumbnail(np.zeros(shape, dtype=np.float32)) is None


def test_values_that_are_not_finite_do_no_harm() -> None:
    assert decode(np.array([[[np.nan, 1.0], [np.inf, 0.5]]], dtype=np.float32)).tolist() == [[0, 255], [0, 128]]
