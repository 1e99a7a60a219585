"""TFRecord shards, read without TensorFlow."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.tfrecord_example import parse_example, serialize_example
from seedfold.trainers.data.tfrecord_framing import read_records, write_records
from seedfold.trainers.data.tfrecord_samples import TFRecords

Image = pytest.importorskip("PIL.Image")

# Two records as the packages tfrecord 1.14.6, protobuf 7.36 and crc32c 2.9 write them.
WRITTEN_ELSEWHERE = (
    "eNq7zAABfE/bUrguMHLxc7GVJBalp5YIsUoxczEycslwseeV5ialFhULCUrxc/Eyr2H69x8KGLnEudjLUzPTM0qKhXiEuLg4gCbZMzA07OcS"
    "5uLIzE1MT43PTBFi52LlYk5MSuYq5GIFCwplcKVxpTAwMjGzsLKxc3BycfPw8vELCAoJi4iKiUtISknLyMrJKygqKauoqqlraGpp6+jq6RsY"
    "GhmbmJqZW1haWdvY2tk7ODo5u7i6uXt4enn7+Pr5BwQGBYeEhoVHREZFx8TGxScArUw4/FlOA+rF/wViXlxq6D5kwHRqSmpaneGUEgCCI0Jo"
)


def test_records_that_others_wrote_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.tfrec").write_bytes(zlib.decompress(base64.b64decode(WRITTEN_ELSEWHERE)))
    first, second = (parse_example(record.content) for record in read_records(tmp_path / "x.tfrec"))
    assert first == {
        "image_id": [b"abc"],
        "target": [1],
        "numbers": [3, 300, -2],
        "weights": [0.5, -1.0],
        "image": [bytes(range(100))],
    }
    assert second == {"image_id": [b"def"], "target": [0]}


@given(st.dictionaries(st.text(max_size=9), st.binary(max_size=300) | st.integers(0, 2**62), max_size=5))
def test_what_is_written_is_read(features: dict[str, bytes | int]) -> None:
    assert parse_example(serialize_example(features)) == {name: [value] for name, value in features.items()}


@given(st.binary(max_size=60))
def test_bytes_that_are_no_example_are_refused_or_read_but_never_lead_astray(content: bytes) -> None:
    try:
        found = parse_example(content)
    except ValueError:
        return
    assert all(isinstance(values, list) for values in found.values())


def pixels(row: int) -> Any:
    return np.random.default_rng(row).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def example(row: int, **other: bytes | int) -> bytes:
    png = io.BytesIO()
    Image.fromarray(pixels(row)).save(png, "PNG")
    return serialize_example({"image_id": f"i{row}".encode(), "image": png.getvalue(), "target": row % 2, **other})


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    write_records(tmp_path / "train01-2.tfrec", [example(2), example(3)])
    write_records(tmp_path / "train00-3.tfrec", [example(0), example(1), example(4)])
    write_records(tmp_path / "test00-1.tfrec", [serialize_example({"image_id": b"t", "image": b"no image"})])
    return tmp_path


def load(folder: Path, **given: Any) -> Samples:
    return TFRecords(str(folder), size=[6, 8], classes=2, **given).load(lambda path: None)


def test_shards_are_read_in_the_order_of_their_numbers_and_decoded_when_asked(shards: Path) -> None:
    samples = load(shards, num_workers=2)
    assert samples.ids == ("i0", "i1", "i4", "i2", "i3")
    assert samples.targets.tolist() == [0, 1, 0, 0, 1]
    assert samples.shards is not None
    assert samples.shards.tolist() == [0, 0, 0, 1, 1]
    assert not isinstance(samples.inputs, np.ndarray)
    taken = samples.take(np.array([3, 0])).inputs
    assert not isinstance(taken, np.ndarray)
    assert np.array_equal(taken.gather(slice(None)), [pixels(2).transpose(2, 0, 1), pixels(0).transpose(2, 0, 1)])


def test_a_damaged_image_fails_when_it_is_read_and_a_test_set_has_no_classes(shards: Path) -> None:
    samples = load(shards, pattern="test*.tfrec", target=None)
    assert samples.targets.tolist() == [-1]
    assert not isinstance(samples.inputs, np.ndarray)
    with pytest.raises(DataFailure, match=r"test00-1.tfrec: record 1 \(t\): cannot be read as an image"):
        samples.inputs.gather(slice(None))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda raw: raw[:-1], "is cut short in record 2"),
        (lambda raw: raw[:5], "is cut short in record 1"),
        (lambda raw: bytes([raw[0] ^ 1]) + raw[1:], "record 1 has a length that is damaged; is it a TFRecord file"),
        (lambda raw: raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:], "record 2 is damaged: its checksum does not match"),
    ],
)
def test_a_damaged_file_is_named_with_its_record(shards: Path, harm: Any, says: str) -> None:
    file = shards / "train01-2.tfrec"
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(DataFailure, match=f"train01-2.tfrec: {says}"):
        load(shards)


def test_records_that_do_not_fit_are_named(shards: Path) -> None:
    with pytest.raises(DataFailure, match="no file is called valid"):
        load(shards, pattern="valid*")
    with pytest.raises(DataFailure, match=r"train00-3.tfrec: record 1 has 0 values of 'patient_id', exactly one is"):
        load(shards, group="patient_id")
    (shards / "train01-2.tfrec").rename(shards / "train01-3.tfrec")
    with pytest.raises(DataFailure, match=r"train01-3.tfrec: has 2 records, its name says 3; it is not whole"):
        load(shards)
    (shards / "train01-3.tfrec").rename(shards / "train7-bis.tfrec")
    with pytest.raises(DataFailure, match=r"train7-bis.tfrec: its name does not end in NUMBER-COUNT.tfrec"):
        load(shards)
