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
from seedfold.results.imports.rows import PredictionRows, ReadOptions, Texts, class_numbers, make_rows, refuse_value
from seedfold.results.imports.value_columns import find_value_columns

SPLIT_COLUMN = "split"
TARGET_COLUMN = "target"


def read_table(file: Path, options: ReadOptions) -> PredictionRows:
    """Read a table, with the column ``split`` if there is one and the options name no other.

    Raises UsageError, with row and column, for values that are missing or cannot be read.
    """
    names = _column_names(file)
    columns = find_value_columns(file, names)
    split = options.split_column or (SPLIT_COLUMN if SPLIT_COLUMN in names else None)
    has_targets = TARGET_COLUMN in names or not options.unlabelled
    wanted = ["sample_id", *([TARGET_COLUMN] if has_targets else []), *([split] if split else []), *columns.names]
    for name in wanted:
        if names.count(name) != 1:
            problem = f"missing{did_you_mean(name, names)}" if name not in names else "is there more than once"
            if name == TARGET_COLUMN and name not in names:
                problem += "; --unlabelled takes in samples whose class nobody knows"
            refuse_value(file, None, name, problem)
    table = _read_columns(file, wanted)
    values = np.column_stack([_number_column(file, table, name) for name in columns.names])
    return make_rows(
        file,
        _text_column(table, "sample_id"),
        _targets(file, table, options) if has_targets else np.full(table.num_rows, np.nan),
        columns.to_logits(file, values),
        _text_column(table, split) if split else None,
        options,
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
        # As text, so that an id such as 007 stays one, and a value that is not a number can be shown.
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


def _column(table: Any, name: str) -> Any:
    column = table.column(name).combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _text_column(table: Any, name: str) -> Texts:
    """Ids, splits or classes as text; whole numbers are taken as they are written."""
    return np.asarray(_column(table, name).cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)


def _targets(file: Path, table: Any, options: ReadOptions) -> NDArray[np.float64]:
    """Class numbers, NaN where there is no class."""
    if options.classes:
        return class_numbers(file, _text_column(table, TARGET_COLUMN), options)
    return _number_column(file, table, TARGET_COLUMN, may_be_empty=options.unlabelled)


def _number_column(file: Path, table: Any, name: str, may_be_empty: bool = False) -> NDArray[np.float64]:
    """A column as real numbers, NaN where the file has no value."""
    import pandas as pd

    column = _column(table, name)
    if not _is_text(column.type):
        try:
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
        except (TypeError, ValueError):
            refuse_value(file, None, name, f"has values of type {column.type}, no numbers")
    texts = column.to_pandas()
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = (numbers.isna() & ~texts.isin(["nan", "NaN"]) & ~(texts.isna() & may_be_empty)).to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        refuse_value(file, row, name, _no_number(texts, row, name))
    return np.asarray(numbers, dtype=np.float64)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _no_number(texts: Any, row: int, name: str) -> str:
    import pandas as pd

    given = texts.iloc[row]
    if pd.isna(given):
        return "empty" + ("; --unlabelled takes in samples whose class nobody knows" if name == TARGET_COLUMN else "")
    if name != TARGET_COLUMN:
        return f"{given!r} is not a number"
    known = [str(text) for text in dict.fromkeys(texts.dropna())]
    listed = ", ".join(known) if len(known) <= 10 else f"{', '.join(known[:10])}, …"
    return f"{given!r} is not a number; name the classes ({listed}) in the order of the logits: --classes NAME,NAME,…"
