from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.table import Table

CASES = "id,age,size,sex,outcome,patient\na,31,1.5,f,0,p1\nb,42,2.5,m,1,p2\nc,53,3.5,f,1,p1\n"
COLUMNS: dict[str, Any] = {"target": "outcome", "id": "id", "group": "patient", "features": ["age", "size"]}


def load(path: Path, **given: Any) -> Any:
    return Table(str(path), **{"classes": 2, **COLUMNS, **given}).load(lambda read: None)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.csv"
    path.write_text(CASES)
    return path


def test_a_table_with_every_column_named(cases: Path) -> None:
    reads: list[Path] = []
    samples = Table(str(cases), classes=2, **COLUMNS).load(reads.append)
    assert reads == [cases]
    assert samples.ids == ("a", "b", "c")
    assert samples.targets.tolist() == [0, 1, 1]
    assert samples.groups is not None
    assert samples.groups.tolist() == ["p1", "p2", "p1"]
    assert samples.inputs.dtype == np.float32
    assert samples.inputs.tolist() == [[31, 1.5], [42, 2.5], [53, 3.5]]


def test_a_column_may_name_the_folds(cases: Path) -> None:
    cases.write_text("id,age,outcome,part\na,31,0,2\nb,42,1,0\nc,53,1,1\n")
    found = load(cases, group=None, features=None, fold="part")
    assert found.shards.tolist() == [2, 0, 1]
    assert found.inputs.tolist() == [[31], [42], [53]]
    cases.write_text("id,age,outcome,part\na,31,0,2\nb,42,1,0.5\n")
    with pytest.raises(DataFailure, match=r"row 2 has the part 0\.5; give a fold, counted from 0"):
        load(cases, group=None, features=None, fold="part")


def test_parquet_and_compressed_csv_give_the_same_samples(cases: Path, tmp_path: Path) -> None:
    pd.read_csv(cases).to_parquet(tmp_path / "cases.parquet")
    (tmp_path / "cases.csv.gz").write_bytes(gzip.compress(CASES.encode()))
    for name in ("cases.parquet", "cases.csv.gz"):
        assert np.array_equal(load(tmp_path / name).inputs, load(cases).inputs)


def test_without_a_header_columns_have_numbers_and_rows_number_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("# two lines\n1,2,3,4,1\n5,6,7,8,0\n")
    samples = Table(str(path), target=-1, classes=2, header=False, skip_rows=1, shape=[1, 2, 2], divide_by=2).load(
        lambda read: None
    )
    assert samples.ids == ("0", "1")
    assert samples.inputs.tolist() == [[[[0.5, 1], [1.5, 2]]], [[[2.5, 3], [3.5, 4]]]]


def test_text_targets_are_numbered_by_the_labels(cases: Path) -> None:
    samples = load(cases, target="sex", labels=["m", "f"])
    assert samples.targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("change", "given", "says"),
    [
        (("a,31", "a,"), {}, "row 1, column 'age' is missing or infinite"),
        (("53,3.5", "53,inf"), {}, "row 3, column 'size' is missing or infinite"),
        (("42,2.5", "42,large"), {}, "row 2, column 'size' holds 'large'"),
        (("b,42", "a,42"), {}, "rows 1 and 2 have the same id 'a'"),
        (("b,42", ",42"), {}, "row 2 has no 'id'"),
        (("m,1", "m,2"), {}, r"row 2 \(b\) has target 2; task.classes is 2"),
        (("m,1", "m,0.5"), {}, "row 2 has target .*0.5"),
        (("m,1", "m,"), {}, "row 2 has target"),
        (("", ""), {"target": "outcom"}, r"no column 'outcom' \(did you mean 'outcome'\?\)"),
        (("", ""), {"features": ["age", "weight"]}, "no column 'weight'"),
        (("", ""), {"features": None}, "row 1, column 'sex' holds 'f', which is not a number"),
        (("", ""), {"target": "sex"}, "name the classes in source.labels"),
        (("", ""), {"target": "sex", "labels": ["f", "x"]}, "row 2 has target 'm'; expected one of f, x"),
        (("", ""), {"shape": [1, 3]}, r"2 feature columns do not make the shape \[1, 3\]"),
        ((CASES, ""), {}, "cannot be read as a table"),
        ((CASES, CASES.splitlines()[0]), {}, "holds no samples"),
    ],
)
def test_bad_data_names_file_and_place(cases: Path, change: tuple[str, str], given: dict[str, Any], says: str) -> None:
    cases.write_text(CASES.replace(*change))
    with pytest.raises(DataFailure, match=says) as caught:
        load(cases, **given)
    assert str(caught.value).startswith(str(cases))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataFailure, match=r"none\.csv: no such file"):
        load(tmp_path / "none.csv")
    with pytest.raises(DataFailure, match="no package 'nowhere_at_all'"):
        Table("pkg://nowhere_at_all/file.csv", target="x", classes=2).load(lambda read: None)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataFailure, match=r"damaged\.parquet: cannot be read as a table"):
        load(damaged)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(CASES.encode())[:30])
    with pytest.raises(DataFailure, match=r"cut\.csv\.gz: cannot be read as a table"):
        load(cut)
