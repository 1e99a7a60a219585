"""Images that are decoded once on a machine, for all of its jobs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data import images as image_module
from seedfold.trainers.data.decoded_copies import decode_once
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.images import ImageFolder
from seedfold.trainers.data.samples import StoredInputs

pytest.importorskip("PIL")
ROWS = np.array([4, 0, 2])


@pytest.fixture
def source(tmp_path: Path) -> ImageFolder:
    """Five images that are read when a batch needs them."""
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    lines = [f"{number}.png,{number % 2}" for number in range(5)]
    (tmp_path / "labels.csv").write_text("\n".join(["name,class", *lines]) + "\n")
    table = str(tmp_path / "labels.csv")
    return ImageFolder(str(folder), table, "name", "class", 2, [6, 8], in_memory=False)


def read(source: ImageFolder, scratch: Path | None) -> StoredInputs:
    inputs = decode_once(source.load(lambda file: None).inputs, scratch and str(scratch))
    assert not isinstance(inputs, np.ndarray)
    return inputs


def copies(scratch: Path) -> list[Path]:
    return [file for file in scratch.glob("seedfold-*/*") if file.suffix == ".npy"]


def test_images_are_decoded_once_and_are_the_same(
    source: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read(source, None)
    assert isinstance(plain, FileInputs)
    first = read(source, tmp_path / "scratch")
    assert len(copies(tmp_path / "scratch")) == 1
    monkeypatch.setattr(image_module.ImageDecoder, "decode", None)
    second = read(source, tmp_path / "scratch")
    for inputs in (first, second):
        assert (len(inputs), inputs.sample_bytes) == (5, plain.sample_bytes)
        monkeypatch.undo()
        assert np.array_equal(inputs[ROWS].gather(slice(None)), plain.gather(ROWS))


def test_a_changed_file_and_another_way_to_decode_are_other_images(source: ImageFolder, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    read(source, scratch)
    file = Path(source.path, "0.png")
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    read(source, scratch)
    read(replace(source, mode="L"), scratch)
    assert len(copies(scratch)) == 3


def test_an_image_that_cannot_be_decoded_fails_the_job_that_needs_it(
    source: ImageFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path(source.path, "3.png").write_bytes(b"no image")
    inputs = read(source, tmp_path / "scratch")
    assert "3.png: cannot be read as an image" in caplog.text
    assert copies(tmp_path / "scratch") == []
    assert inputs.gather(ROWS).shape == (3, 3, 6, 8)
    with pytest.raises(DataFailure, match=r"3\.png"):
        inputs.gather(np.array([3]))


def test_without_a_place_images_are_decoded_for_each_batch(source: ImageFolder, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file")
    assert isinstance(read(source, tmp_path / "full"), FileInputs)
