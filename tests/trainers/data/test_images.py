from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.images import ImageFolder

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        pixels = np.full((4, 6, 3), 50 * number, dtype=np.uint8)
        pixels[0, 0] = [255, 0, 0]
        Image.fromarray(pixels).save(tmp_path / f"case{number}.png")
    (tmp_path / "labels.csv").write_text("name,kind\ncase0,x\ncase1,y\ncase2,x\n")
    return tmp_path


def source(folder: Path, **given: Any) -> ImageFolder:
    settings: dict[str, Any] = {
        "path": str(folder),
        "labels_path": str(folder / "labels.csv"),
        "image": "name",
        "target": "kind",
        "labels": ["x", "y"],
        "classes": 2,
        "size": [4, 6],
        "suffix": ".png",
    }
    return ImageFolder(**{**settings, **given})


def test_images_become_channels_first_between_0_and_1_and_every_file_is_reported(folder: Path) -> None:
    reads: list[Path] = []
    samples = source(folder).load(reads.append)
    assert samples.inputs.shape == (3, 3, 4, 6)
    assert samples.inputs[2, :, 1, 1].tolist() == pytest.approx([100 / 255] * 3)
    assert samples.inputs[2, :, 0, 0].tolist() == [1, 0, 0]
    assert samples.ids == ("case0", "case1", "case2")
    assert samples.targets.tolist() == [0, 1, 0]
    assert [path.name for path in reads] == ["labels.csv", "case0.png", "case1.png", "case2.png"]


def test_names_that_look_like_numbers_stay_what_they_are(folder: Path) -> None:
    for number in range(3):
        (folder / f"case{number}.png").rename(folder / f"00{number}.png")
    (folder / "labels.csv").write_text("id,name,kind\n1e3,000,x\n07,001,y\n7,002,x\n")
    samples = source(folder, id="id").load(lambda read: None)
    assert samples.ids == ("1e3", "07", "7")


def test_grey_and_resized(folder: Path) -> None:
    samples = source(folder, mode="L", size=[8, 8], resize=True).load(lambda read: None)
    assert samples.inputs.shape == (3, 1, 8, 8)
    assert samples.inputs[1, 0, 7, 7] == pytest.approx(50 / 255)


def test_a_missing_a_damaged_and_a_differently_sized_image_are_named(folder: Path) -> None:
    with pytest.raises(DataFailure, match=r"case0\.png: is 4 by 6, but task.source.size is 8 by 8"):
        source(folder, size=[8, 8]).load(lambda read: None)
    (folder / "case1.png").write_bytes(b"no image")
    with pytest.raises(DataFailure, match=r"case1\.png: cannot be read as an image"):
        source(folder).load(lambda read: None)
    (folder / "case1.png").unlink()
    with pytest.raises(DataFailure, match=r"labels\.csv: row 2 names .*case1\.png, which does not exist"):
        source(folder).load(lambda read: None)


def test_images_that_stay_on_disk_are_those_in_memory(folder: Path) -> None:
    reads: list[Path] = []
    samples = source(folder, in_memory=False, num_workers=2, target=None).load(reads.append)
    assert samples.targets.tolist() == [-1, -1, -1]
    assert [path.name for path in reads] == ["labels.csv"]
    inputs = samples.take(np.array([2, 0])).inputs
    assert not isinstance(inputs, np.ndarray)
    held = source(folder).load(reads.append).inputs
    assert np.array_equal(inputs.gather(slice(None)) / np.float32(255), held[[2, 0]])
    (folder / "case1.png").unlink()
    with pytest.raises(DataFailure, match=r"labels.csv: row 2 names .*case1.png"):
        source(folder, in_memory=False).load(reads.append)


def test_the_smaller_side_is_resized_and_edges_are_mirrored_before_an_image_gets_its_size(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40), dtype=np.uint8)
    pixels[:, :20] = np.repeat(np.arange(10, dtype=np.uint8) * 20, 2)
    pixels[:, 20:] = 250
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("name,kind\na,x\n")
    given = {"mode": "L", "size": [14, 20], "smallest_side": 10, "pad_to": [14, 14], "resize": False}
    [[image]] = source(tmp_path, **given).load(lambda read: None).inputs
    assert image.shape == (14, 20), "10 by 20 with the proportions of 20 by 40, then 14 by 20"
    assert image[0, 1:9] * 255 == pytest.approx(np.arange(1, 9) * 20, abs=6)
    assert (image[2:12] == image[2]).all()
    tall = np.zeros((40, 20), dtype=np.uint8)
    tall[:, 5:] = np.arange(15, dtype=np.uint8) * 10
    Image.fromarray(tall).save(tmp_path / "a.png")
    settings = {"mode": "L", "size": [40, 24], "pad_to": [10, 24], "resize": False}
    [[image]] = source(tmp_path, **settings).load(lambda read: None).inputs
    assert np.array_equal(image[0] * 255, np.pad(tall[0], 2, mode="reflect"))
    assert source(tmp_path, **{**settings, "size": [8, 8], "resize": True}).load(lambda read: None).inputs.shape[
        2:
    ] == (8, 8)


def test_a_column_may_name_the_folds(folder: Path) -> None:
    (folder / "labels.csv").write_text("name,kind,part\ncase0,x,1\ncase1,y,0\ncase2,x,1\n")
    shards = source(folder, fold="part").load(lambda read: None).shards
    assert shards is not None
    assert shards.tolist() == [1, 0, 1]
