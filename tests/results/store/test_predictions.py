from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure, NonFiniteFailure
from seedfold.results.store.predictions import (
    configuration_digest,
    find_predictions,
    read_footer,
    read_heads,
    read_predictions,
    samples_digest,
    write_predictions,
)

JOB = JobDescription("ab" * 32, "s", "train", {"seed": 1}, {"seed": 1, "lr": 0.1}, (), Resources(), "a.b", "c")
IDS = ["b", "a", "c"]


def write(folder: Path, **changes: Any) -> Path:
    given_ = {
        "sample_ids": IDS,
        "targets": np.array([0, 1, 1]),
        "logits": {"main": np.arange(6, dtype=np.float32).reshape(3, 2)},
        "expected": IDS,
    }
    write_predictions(folder, "val", job=JOB, **{**given_, **changes})
    return folder / "predictions.val.parquet"


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    path = write(tmp_path)
    table = read_predictions(path)
    assert table.column_names == ["sample_id", "target", "head", "logit_0", "logit_1"]
    assert table.column("sample_id").to_pylist() == IDS
    assert [str(table.schema.field(name).type) for name in ("target", "logit_0")] == ["int64", "float"]
    (head,) = read_heads(path)
    assert head.head == "main"
    assert head.logits.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert head.targets.tolist() == [0, 1, 1]
    assert find_predictions(tmp_path) == {"val": path}


def test_footer_names_job_configuration_and_expected_samples(tmp_path: Path) -> None:
    footer = read_footer(write(tmp_path))
    assert (footer.job, footer.split, footer.samples, footer.heads) == (JOB.id, "val", 3, {"main": 2})
    assert footer.configuration == configuration_digest({"lr": 0.1, "seed": 1})
    assert footer.samples_digest == samples_digest(["a", "b", "c"]) != samples_digest(["a", "b"])
    assert {"seedfold", "python", "numpy", "pyarrow"} <= set(footer.versions)


def test_heads_of_different_width_keep_their_own_width(tmp_path: Path) -> None:
    wide, narrow = np.ones((3, 4), np.float32), np.full((3, 1), 2, np.float32)
    path = write(tmp_path, logits={"narrow": narrow, "wide": wide})
    table = read_predictions(path)
    assert table.column("head").to_pylist() == ["narrow"] * 3 + ["wide"] * 3
    assert table.column("logit_3").to_pylist() == [None] * 3 + [1.0] * 3
    first, second = read_heads(path)
    assert first.logits.tolist() == narrow.tolist()
    assert second.logits.tolist() == wide.tolist()


@settings(max_examples=40, deadline=None)
@given(
    logits=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    data=st.data(),
)
def test_any_logits_and_ids_survive_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, logits: Any, data: Any
) -> None:
    ids = data.draw(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"])), min_size=len(logits), max_size=len(logits), unique=True
        )
    )
    path = write(
        tmp_path_factory.mktemp("p"), sample_ids=ids, expected=set(ids), targets=None, logits={"head ö": logits}
    )
    (head,) = read_heads(path)
    assert head.sample_ids.tolist() == ids
    assert head.logits.tobytes() == logits.tobytes()
    assert not head.known.any()


def test_real_targets_may_be_partly_unknown(tmp_path: Path) -> None:
    path = write(tmp_path, targets=np.array([1.5, np.nan, -2.0]), logits={"y": np.zeros((3, 1))})
    (head,) = read_heads(path)
    assert head.is_regression
    assert head.known.tolist() == [True, False, True]
    assert head.targets[head.known].tolist() == [1.5, -2.0]


def test_masked_class_targets_are_null(tmp_path: Path) -> None:
    path = write(tmp_path, targets=np.ma.MaskedArray([0, 99, 1], mask=[False, True, False]))
    assert pq.read_table(path).column("target").to_pylist() == [0, None, 1]


def test_floats_are_split_into_streams_without_dictionary(tmp_path: Path) -> None:
    group = pq.ParquetFile(write(tmp_path)).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "BYTE_STREAM_SPLIT" in columns["logit_0"].encodings
    assert not columns["logit_0"].has_dictionary_page
    assert columns["head"].has_dictionary_page
    assert {name: column.compression for name, column in columns.items() if name != "logit_1"} == {
        **dict.fromkeys(("sample_id", "target", "head"), "ZSTD"),
        "logit_0": "LZ4",
    }
    assert not columns["logit_0"].is_stats_set


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(['"', "\\", "a\x1fb", "é\x7f"])))
def test_the_digest_of_samples_is_that_of_their_json(ids: list[str]) -> None:
    text = json.dumps(sorted(ids), ensure_ascii=False)
    assert samples_digest(ids) == hashlib.sha256(text.encode()).hexdigest()


def test_ids_that_are_expected_twice_are_repeated(tmp_path: Path) -> None:
    ids = ["a", "a", "c"]
    with pytest.raises(DataFailure, match=r"repeated sample ids: 1 \('a'\)"):
        write(tmp_path, sample_ids=ids, expected=ids)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_ids": ["a", "a", "c"], "expected": ["a", "c"]}, r"repeated sample ids: 1 \('a'\)"),
        ({"expected": [*IDS, "d", "e", "f", "g"]}, r"missing sample ids: 4 \('d', 'e', 'f', …\)"),
        ({"expected": ["b", "a"]}, r"unexpected sample ids: 1 \('c'\)"),
        ({"expected": ["b", "a", "x"]}, r"missing sample ids: 1 \('x'\); unexpected sample ids: 1 \('c'\)"),
        ({"logits": {"main": np.zeros((2, 2))}}, r"head 'main': shape \(2, 2\), expected \(3, k\)"),
        ({"logits": {"main": np.zeros(3)}}, r"shape \(3,\), expected \(3, k\)"),
        ({"logits": {"main": np.zeros((3, 0))}}, r"shape \(3, 0\)"),
        ({"logits": {}}, "no head"),
        ({"targets": np.array([0, 1])}, r"targets of split 'val': shape \(2,\)"),
        ({"targets": np.array(["a", "b", "c"])}, "expected .* class numbers or real numbers"),
        ({"targets": np.array([0, 2, 1])}, r"classes outside 0…1 for samples: 1 \('a'\)"),
        ({"targets": np.array([0, -1, 1])}, "classes outside"),
        ({"targets": np.array([0.0, 1.0, 1.0])}, "need one logit, got 2"),
    ],
)
def test_bad_predictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataFailure, match=message):
        write(tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_logits_are_a_kind_of_their_own(tmp_path: Path, bad: float) -> None:
    with pytest.raises(NonFiniteFailure, match=r"head 'main': non-finite logits for samples: 1 \('c'\)"):
        write(tmp_path, logits={"main": np.array([[0, 0], [0, 0], [0, bad]])})
    with pytest.raises(NonFiniteFailure, match="infinite"):
        write(tmp_path, targets=np.array([0.0, np.inf, 1.0]), logits={"main": np.zeros((3, 1))})


def test_a_logit_too_large_for_single_precision_is_refused(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="overflow"), pytest.raises(NonFiniteFailure):
        write(tmp_path, logits={"main": np.full((3, 2), 1e300)})


@pytest.mark.parametrize("split", ["", "a/b", "../x", "a.b", "-x"])
def test_a_split_must_be_able_to_name_a_file(tmp_path: Path, split: str) -> None:
    with pytest.raises(DataFailure, match=re.escape(f"split {split!r}")):
        write_predictions(tmp_path, split, job=JOB, sample_ids=[], targets=None, logits={}, expected=[])


def test_a_split_is_written_once(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(DataFailure, match="already"):
        write(tmp_path)
    assert path.read_bytes() == before


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    foreign, broken = tmp_path / "predictions.a.parquet", tmp_path / "predictions.b.parquet"
    pq.write_table(read_predictions(write(tmp_path)).replace_schema_metadata(None), foreign)
    broken.write_bytes((tmp_path / "predictions.val.parquet").read_bytes()[:-20])
    for path, why in ((foreign, "does not say which job"), (broken, "cannot be read as Parquet")):
        with pytest.raises(DataFailure, match=why):
            read_footer(path)
        with pytest.raises(DataFailure, match=why):
            read_predictions(path)


def test_a_row_takes_no_more_bytes_than_its_logits_and_two_more(tmp_path: Path) -> None:
    ids, draw = [f"sample_{number:06d}" for number in range(12_000)], np.random.default_rng(0)
    logits, targets = draw.normal(size=(12_000, 8)).astype(np.float32), draw.integers(0, 8, 12_000)
    path = write(tmp_path, sample_ids=ids, expected=ids, targets=targets, logits={"main": logits})
    assert path.stat().st_size <= 34 * len(ids)
