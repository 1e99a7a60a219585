"""CSV and Parquet files of predictions: ``sample_id, target, logit_0, …`` and perhaps a column of splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.imports.rows import PredictionRows, Texts, logit_columns, make_rows, refuse_value

SPLIT_COLUMN = "split"


def read_table(file: Path, split_column: str | None) -> PredictionRows:
    """Read a table; ``split_column`` None takes the column ``split`` if there is one.

    Raises UsageError, with row and column, for what is missing or cannot be read as what it should be.
    """
    names = _column_names(file)
    logits = logit_columns(file, names)
    split = split_column or (SPLIT_COLUMN if SPLIT_COLUMN in names else None)
    wanted = ["sample_id", "target", *([split] if split else []), *logits]
    for name in wanted:
        if names.count(name) != 1:
            problem = f"missing{did_you_mean(name, names)}" if name not in names else "is there more than once"
            refuse_value(file, None, name, problem)
    table = _read_columns(file, wanted)
    values = np.column_stack([_number_column(file, table, name) for name in logits])
    return make_rows(
        file,
        _text_column(table, "sample_id"),
        _number_column(file, table, "target"),
        values,
        _text_column(table, split) if split else None,
    )


def _column_names(file: Path) -> list[str]:
    try:
        if file.suffix == ".parquet":
            return [str(name) for name in pq.read_schema(file).names]
        with pc.open_csv(file) as reader:
            return [str(name) for name in reader.schema.names]
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable_error(file, error) from error


def _read_columns(file: Path, columns: Sequence[str]) -> Any:
    try:
        if file.suffix == ".parquet":
            return pq.read_table(file, columns=list(columns))
        # As text, so that an id such as 007 stays one, and a value that is no number can be shown.
        options = pc.ConvertOptions(
            include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string()), null_values=[""],
            strings_can_be_null=True,
        )  # fmt: skip
        return pc.read_csv(file, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable_error(file, error) from error


def _unreadable_error(file: Path, error: Exception) -> UsageError:
    kind = "Parquet" if file.suffix == ".parquet" else "CSV"
    return UsageError(f"{file}: cannot be read as {kind}: {' '.join(str(error).split())}")


def _text_column(table: Any, name: str) -> Texts:
    """Ids or splits as text; whole numbers are taken as they are written."""
    column = table.column(name).combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)


def _number_column(file: Path, table: Any, name: str) -> NDArray[np.float64]:
    """A column as real numbers, not a number where the file has no value."""
    import pandas as pd

    column = table.column(name)
    if not pa.types.is_string(column.type):
        try:
            return np.asarray(column.to_numpy(), dtype=np.float64)
        except (TypeError, ValueError):
            refuse_value(file, None, name, f"has values of type {column.type}, no numbers")
    texts = column.to_pandas()
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = (numbers.isna() & ~texts.isin(["nan", "NaN"])).to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        text = texts.iloc[row]
        refuse_value(file, row, name, "empty" if pd.isna(text) else f"{text!r} is no number")
    return np.asarray(numbers, dtype=np.float64)
