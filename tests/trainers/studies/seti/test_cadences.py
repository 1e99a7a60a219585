from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.batches import EvaluationBatches, Position, TrainingBlocks
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.sampling import TrainingOrder
from seedfold.trainers.studies.seti.cadences import Cadences

SHAPE = (6, 10, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = [f"{row % 3}{row:03d}" for row in range(7)]
    for name in rows:
        (tmp_path / "train" / name[0]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "train" / name[0] / f"{name}.npy", generator.normal(size=SHAPE).astype(np.float16))
    table = "id,target\n" + "".join(f"{name},{row % 2}\n" for row, name in enumerate(rows))
    (tmp_path / "labels.csv").write_text(table)
    return tmp_path


def cadences(folder: Path, **given: Any) -> Cadences:
    whole = {"classes": 2, "shape": SHAPE, **given}
    return Cadences(str(folder / "train"), str(folder / "labels.csv"), **whole)


def gathered(samples: Samples) -> Any:
    assert not isinstance(samples.inputs, np.ndarray)
    return samples.inputs.gather(slice(None))


def test_positions_are_channels_and_folders_are_groups(folder: Path) -> None:
    samples = cadences(folder, channels=[5, 0], num_workers=3).load(lambda path: None)
    assert samples.ids[:2] == ("0000", "1001")
    assert samples.groups is not None
    assert samples.groups.tolist() == list("0120120")
    assert samples.targets.tolist() == [0, 1, 0, 1, 0, 1, 0]
    files = [np.load(folder / "train" / name[0] / f"{name}.npy") for name in samples.ids]
    assert np.array_equal(gathered(samples), [file[[5, 0]] for file in files])
    assert gathered(samples).dtype == np.float16


def test_resizing_keeps_the_mean(folder: Path) -> None:
    whole = gathered(cadences(folder).load(lambda path: None)).astype(np.float32)
    half = gathered(cadences(folder, size=[5, 4]).load(lambda path: None)).astype(np.float32)
    assert half.shape == (7, 3, 5, 4)
    assert np.allclose(half.mean((2, 3)), whole.mean((2, 3)), atol=0.15)
    assert half.std() < whole.std()


def test_batches_from_files_are_those_from_memory(folder: Path) -> None:
    lazy = cadences(folder).load(lambda path: None)
    held = Samples(lazy.ids, gathered(lazy).astype(np.float32), lazy.targets)
    blocks = [
        TrainingBlocks(
            samples,
            TrainingOrder(samples.targets, 3),
            Position(step=1),
            batch_size=2,
            drop_last=False,
            batches_per_block=2,
        )
        for samples in (lazy, held)
    ]
    batches = [[batch for block in each for batch in block.batches] for each in blocks]
    batches += [list(EvaluationBatches(samples, 3)) for samples in (lazy, held)]
    for unread, read in ((batches[0], batches[1]), (batches[2], batches[3])):
        assert len(unread) == len(read) == 3
        for one, other in zip(unread, read, strict=True):
            assert (one.scaled_inputs() == other.scaled_inputs()).all()
            assert (one.targets == other.targets).all()


def damage(file: Path, content: Callable[[bytes], bytes]) -> None:
    file.write_bytes(content(file.read_bytes()))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda raw: raw[:-900], "is cut short at position 0"),
        (lambda raw: raw[:4], "is not a NumPy file"),
        (
            lambda raw: raw.replace(b"(6, 10, 8)", b"(6, 8, 10)"),
            r"has 3 axes \(6, 8, 10\) of float16; task.source.shape",
        ),
        (
            lambda raw: raw.replace(b"<f2", b"<u2"),
            r"has 3 axes \(6, 10, 8\) of uint16; task.source.shape is \[6, 10, 8\] of float16",
        ),
        (lambda raw: raw[:128] + b"\xff\xff" + raw[130:], "has a value that is infinite or not a number"),
    ],
)
def test_a_damaged_file_is_named_with_its_row(folder: Path, content: Callable[[bytes], bytes], says: str) -> None:
    samples = cadences(folder, num_workers=2).load(lambda path: None)
    damage(folder / "train" / "1" / "1004.npy", content)
    with pytest.raises(DataFailure, match=rf"1/1004.npy \(.*labels.csv: row 5\): {says}"):
        gathered(samples)


def test_a_missing_file_is_named_before_anything_is_read_and_a_test_table_needs_no_classes(folder: Path) -> None:
    with pytest.raises(ConfigFailure, match=r"task.source.channels: 6 is not among the 6 positions"):
        cadences(folder, channels=[0, 6])
    assert cadences(folder, target=None).load(lambda path: None).targets.tolist() == [-1] * 7
    (folder / "train" / "2" / "2005.npy").unlink()
    with pytest.raises(DataFailure, match=r"labels.csv: row 6 names .*/train/2/2005.npy, which does not exist"):
        cadences(folder).load(lambda path: None)
