"""A damaged file of predictions, or a damaged result, is told, and never shown as other numbers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure
from seedfold.results.store.predictions import (
    FOOTER_KEY,
    count_unknown_targets,
    read_footer,
    read_heads,
    verify_pages,
    write_predictions,
)
from seedfold.results.store.published import DamagedError, Result, load_result

JOB = JobDescription("ab" * 32, "s", "train", {"seed": 1}, {"seed": 1, "lr": 0.1}, (), Resources(), "a.b", "c")
IDS = [f"s{number}" for number in range(20)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    logits = {"main": np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)}
    targets = np.arange(20) % 3
    write_predictions(folder, "val", job=JOB, sample_ids=IDS, targets=targets, logits=logits, expected=IDS)
    return folder / "predictions.val.parquet"


def read_numbers(path: Path) -> list[Any]:
    return [[head.ids.to_pylist(), head.targets.tolist(), head.logits.tobytes()] for head in read_heads(path)]


@pytest.mark.slow
def test_a_flipped_bit_is_told_wherever_it_would_change_a_number(written: Path, tmp_path: Path) -> None:
    expected, content, copy = read_numbers(written), written.read_bytes(), tmp_path / "copy.parquet"
    told = 0
    for place, bit in zip(range(len(content)), itertools.cycle(range(8)), strict=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        copy.write_bytes(damaged)
        try:
            found = read_numbers(copy)
        except DataFailure:
            told += 1
        else:
            assert found == expected, f"byte {place}, bit {bit}"
    assert told > len(content) / 4


@given(st.integers(0, 5000), st.binary(max_size=12), st.integers(0, 30))
@example(0, b"", 9999)
def test_whatever_a_file_holds_it_is_predictions_or_an_error_that_names_it(
    written: Path, tmp_path_factory: pytest.TempPathFactory, place: int, put: bytes, removed: int
) -> None:
    content = written.read_bytes()
    place %= len(content)
    copy = tmp_path_factory.getbasetemp() / "damaged.parquet"
    copy.write_bytes(content[:place] + put + content[place + removed :])
    for read in (read_numbers, read_footer, count_unknown_targets, lambda path: verify_pages([path])):
        message = str(copy)
        try:
            read(copy)
        except DataFailure as error:
            message = str(error)
        assert message.startswith(str(copy))


FIELDS = dict.fromkeys(("job", "split", "configuration", "versions", "samples", "samples_digest"), 1)
HEADS: list[Any] = [None, 5, [], {}, {"a": 0}, {"a": "2"}, {"a": 2, "b": True}, {"a": 9}, {"a": 2, "b": 1}]
FOOTERS = [
    *(b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"job": 1}', json.dumps(FIELDS).encode()),
    *(json.dumps({**FIELDS, "heads": heads}).encode() for heads in HEADS),
]


@pytest.mark.parametrize("footer", FOOTERS)
def test_a_footer_that_says_something_else_is_told(footer: bytes, tmp_path: Path) -> None:
    path = tmp_path / "predictions.val.parquet"
    table = pa.table({"sample_id": ["a"], "target": [1], "head": ["a"], "logit_0": [0.5], "logit_1": [0.5]})
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: footer}), path)
    with pytest.raises(DataFailure, match=f"^{path}"):
        list(read_heads(path))


RESULT: dict[str, Any] = Result(
    *("a" * 64, "study", "train", {"seed": 1}, 1, "a.b", {}, {}, {}, "code", {"host": "n1"}, 1.0, 2.0),
    files={"a.txt": {"bytes": 1, "sha256": "0", "rows": None, "mtime_ns": 1}},
    metrics=({"split": "val", "head": "main", "metric": "accuracy", "value": 0.5},),
).to_dict()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert load_result(tmp_path).to_dict() == RESULT


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 500, b"[]", b"{}", b"null", b"1", b'"text"', b"\xff", b"[" * 3000, b'{"id": 1}']
)
def test_a_result_that_is_none_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"result.json: damaged .*; run the job again"):
        load_result(tmp_path)


def test_a_result_that_is_a_folder_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(DamagedError, match="damaged"):
        load_result(tmp_path)


@given(st.sampled_from(sorted(RESULT)), json_values)
def test_a_result_with_another_value_is_read_or_damaged(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "result.json").write_text(json.dumps({**RESULT, key: value}))
    try:
        read = load_result(folder)
    except DamagedError:
        return
    assert read.seconds == read.ended - read.started or read.seconds != read.seconds
    assert len([record["value"] for record in read.metrics]) == len(read.metrics)
    assert len([record["bytes"] for record in read.files.values()]) == len(read.files)
