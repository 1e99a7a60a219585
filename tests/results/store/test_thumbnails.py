"""Thumbnails beside predictions: few, small, PNG and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.results.store.predictions import find_predictions
from seedfold.results.store.thumbnails import (
    MOST_BYTES,
    MOST_THUMBNAILS,
    PNG_SIGNATURE,
    read_thumbnails,
    thumbnails_file,
    write_thumbnails,
)

PICTURE = PNG_SIGNATURE + b"some picture"


def test_what_is_written_is_read_and_is_no_prediction(tmp_path: Path) -> None:
    assert read_thumbnails(tmp_path, "val") == {}
    write_thumbnails(tmp_path, "val", {"a": PICTURE, "ü/../b": PICTURE + b"2"})
    assert read_thumbnails(tmp_path, "val") == {"a": PICTURE, "ü/../b": PICTURE + b"2"}
    assert find_predictions(tmp_path) == {}


@pytest.mark.parametrize("picture", [b"<svg onload=alert(1)>", b"", PNG_SIGNATURE + b"0" * MOST_BYTES])
def test_what_is_no_small_png_is_neither_written_nor_read(tmp_path: Path, picture: bytes) -> None:
    with pytest.raises(DataFailure, match="is no PNG"):
        write_thumbnails(tmp_path, "val", {"a": picture})
    table = pa.table({"sample_id": ["a", "b"], "png": pa.array([picture, PICTURE], type=pa.binary())})
    pq.write_table(table, tmp_path / thumbnails_file("val"))
    assert read_thumbnails(tmp_path, "val") == {"b": PICTURE}


def test_too_many_are_refused(tmp_path: Path) -> None:
    many = {str(number): PICTURE for number in range(MOST_THUMBNAILS + 1)}
    with pytest.raises(DataFailure, match="at most 1000"):
        write_thumbnails(tmp_path, "val", many)
    table = pa.table({"sample_id": list(many), "png": pa.array(list(many.values()), type=pa.binary())})
    pq.write_table(table, tmp_path / thumbnails_file("val"))
    with pytest.raises(DataFailure, match="more than are ever written"):
        read_thumbnails(tmp_path, "val")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / thumbnails_file("val")).write_bytes(b"PAR1 nothing")
    with pytest.raises(DataFailure, match=r"thumbnails\.val\.parquet: cannot be read"):
        read_thumbnails(tmp_path, "val")
