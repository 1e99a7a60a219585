from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.results.store.arrow_arrays import number_array, read_known, read_numbers, text_array

WRITE_AND_READ = """
import sys
from pathlib import Path

import numpy as np

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.recording.prediction_parts import to_batch
from seedfold.results.store.metrics import head_metrics
from seedfold.results.store.predictions import read_heads, write_predictions

job = JobDescription("ab" * 32, "s", "train", {}, {}, (), Resources(), "a.b", "c")
logits, targets = {"main": np.ones((2, 2)), "other": np.ones((2, 3))}, np.array([0.0, np.nan])
to_batch("val", "main", ["a", "b"], None, logits["main"])
write_predictions(
    Path(sys.argv[1]), "val", job=job, sample_ids=["a", "b"], targets=[0, 1], logits=logits, expected=["a", "b"]
)
print([head_metrics(head)["accuracy"] for head in read_heads(Path(sys.argv[1]) / "predictions.val.parquet")])
print("pandas" in sys.modules)
"""


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_what_arrow_makes_of_them(texts: list[str]) -> None:
    array = text_array(texts)
    array.validate(full=True)
    assert array.equals(pa.array(texts, type=pa.string()))


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.booleans())), st.sampled_from(["int64", "float64"]))
def test_numbers_are_what_arrow_makes_of_them(rows: list[tuple[int, bool]], dtype: str) -> None:
    values, known = np.array([value for value, _ in rows], dtype=dtype), np.array([one for _, one in rows], dtype=bool)
    array = number_array(values, known)
    array.validate(full=True)
    assert array.equals(pa.array(values, mask=~known))
    column = pa.chunked_array([array[:1], array[1:]])
    assert read_numbers(column).tolist() == np.where(known, values, 0).tolist()
    assert read_known(column).tolist() == known.tolist()


def test_a_column_of_a_matrix_is_an_array() -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert number_array(matrix[:, 1]).to_pylist() == [1.0, 3.0, 5.0]


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        text_array(["\ud800"])


def test_a_job_that_writes_and_reads_predictions_does_not_import_pandas(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AND_READ, str(tmp_path)]
    assert subprocess.check_output(command, text=True).split("\n")[-2] == "False"
