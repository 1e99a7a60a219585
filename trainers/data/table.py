"""Samples from one table: a CSV file (also compressed) or a Parquet file, one row per sample.

The rows may be feature vectors or, with ``shape``, whole small images with one column per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedfold.jobs.errors import did_you_mean
from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.samples import Flags, Floats, Indices, Reads, Samples, check_samples, require_data_path

if TYPE_CHECKING:
    import pandas as pd

_NO_FOLD = -1
Column = str | int
"""A column's name; in a file without a header its position from 0, or from the end if negative."""


@dataclass(frozen=True)
class Table:
    """Read samples from a CSV or Parquet file.

    ``id`` defaults to the row's position from 0, ``features`` to every column that is not id, target, group or fold;
    ``fold`` is the column for ``task.folds.kind: given``.
    ``labels`` names the classes in order, for targets written as text. Inputs are divided by ``divide_by`` and get
    ``shape`` (without the sample axis).
    """

    path: str
    target: Column
    classes: int
    id: Column | None = None
    group: Column | None = None
    features: Sequence[Column] | None = None
    header: bool = True
    skip_rows: int = 0
    labels: Sequence[str] | None = None
    shape: Sequence[int] | None = None
    divide_by: float = 1.0
    fold: Column | None = None

    def load(self, reads: Reads) -> Samples:
        """Read the table; raises DataFailure for a missing file or column, or a value that is not a number."""
        path = require_data_path(self.path)
        reads(path)
        frame = read_frame(path, header=self.header, skip_rows=self.skip_rows)
        if not len(frame):
            raise DataFailure(f"{path}: holds no samples")
        samples = Samples(
            ids=read_ids(frame, self.id, path),
            inputs=self._read_inputs(frame, path),
            targets=to_class_numbers(frame[find_column(frame, self.target, path)], self.labels, path),
            groups=None if self.group is None else frame[find_column(frame, self.group, path)].astype(str).to_numpy(),
            shards=read_folds(frame, self.fold, path),
        )
        return check_samples(samples, str(path), self.classes)

    def _read_inputs(self, frame: pd.DataFrame, path: Path) -> Floats:
        values = to_floats(frame[self._feature_columns(frame, path)], path) / np.float32(self.divide_by)
        if self.shape is None:
            return values
        if values.shape[1] != int(np.prod(self.shape)):
            raise DataFailure(
                f"{path}: {values.shape[1]} feature columns do not make the shape {list(self.shape)}; "
                "check task.source.shape and task.source.features"
            )
        return values.reshape(len(frame), *self.shape)

    def _feature_columns(self, frame: pd.DataFrame, path: Path) -> list[Column]:
        if self.features is not None:
            return [find_column(frame, name, path) for name in self.features]
        named = (self.id, self.target, self.group, self.fold)
        taken = {find_column(frame, name, path) for name in named if name is not None}
        return [name for name in frame.columns if name not in taken]


def read_frame(path: Path, *, header: bool = True, skip_rows: int = 0, text: Sequence[Column] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet file by its ending; raises DataFailure if it cannot be read as such.

    Columns in ``text`` are read as text, whatever is in them: 007 stays 007.
    """
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(
            path,
            header=0 if header else None,
            skiprows=skip_rows,
            dtype=dict.fromkeys(text, "string"),
            dtype_backend="numpy_nullable",
        )
    except (ValueError, OSError, EOFError) as error:  # pandas' and Arrow's parser errors are ValueErrors
        raise DataFailure(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from error


def find_column(frame: pd.DataFrame, name: Column, path: Path) -> Column:
    """Return the label of a column of ``frame``; raises DataFailure with the nearest name."""
    if name in frame.columns:
        return name
    if isinstance(name, int) and name < 0 and -name <= len(frame.columns):
        label: Column = frame.columns[name]
        return label
    known = [str(label) for label in frame.columns]
    raise DataFailure(f"{path}: no column {name!r}{did_you_mean(str(name), known)}; it has {len(known)} columns")


def read_ids(frame: pd.DataFrame, name: Column | None, path: Path) -> tuple[str, ...]:
    """Return one string per row: the column ``name``, or the row's position from 0."""
    if name is None:
        return tuple(str(row) for row in range(len(frame)))
    values = frame[find_column(frame, name, path)]
    if values.isna().any():
        raise DataFailure(f"{path}: row {int(values.isna().to_numpy().argmax()) + 1} has no {name!r}")
    return tuple(values.astype(str))


def read_folds(frame: pd.DataFrame, name: Column | None, path: Path, held_out: Flags | None = None) -> Indices | None:
    """Return the fold (n,) in which each row validates, from the column ``name``; None without a name.

    Rows that are ``held_out`` may lack it, and have -1 then. Raises DataFailure naming the row of a wrong one.
    """
    import pandas as pd

    if name is None:
        return None
    values = frame[find_column(frame, name, path)]
    folds = pd.to_numeric(values, errors="coerce").astype("Float64")
    is_right = ((folds >= 0) & (folds % 1 == 0)).fillna(False).to_numpy(dtype=bool)
    if held_out is not None:
        is_right |= values.isna().to_numpy() & held_out
    if not is_right.all():
        row = int((~is_right).argmax())
        raise DataFailure(f"{path}: row {row + 1} has the {name} {values.iloc[row]}; give a fold, counted from 0")
    return np.asarray(folds.fillna(_NO_FOLD).to_numpy(dtype=np.int64))


def to_class_numbers(values: pd.Series, labels: Sequence[str] | None, path: Path) -> Indices:
    """Return class numbers (n,) int64.

    Raises DataFailure for a value that is not one of ``labels`` or not a whole number.
    """
    import pandas as pd

    if labels is not None:
        class_numbers = values.astype("object").map({label: number for number, label in enumerate(labels)})
    else:
        class_numbers = pd.to_numeric(values, errors="coerce")
    is_wrong = class_numbers.isna() | (class_numbers % 1 != 0)
    if is_wrong.fillna(True).any():
        row = int(is_wrong.fillna(True).to_numpy(dtype=bool).argmax())
        expected = f"one of {', '.join(labels)}" if labels else "a class number (or name the classes in source.labels)"
        raise DataFailure(f"{path}: row {row + 1} has target {values.iloc[row]!r}; expected {expected}")
    return np.asarray(class_numbers.to_numpy(dtype=np.int64))


def to_floats(frame: pd.DataFrame, path: Path) -> Floats:
    """Return (n, columns) float32; raises DataFailure naming row and column of the first value that is no number."""
    import pandas as pd

    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            is_wrong = pd.to_numeric(frame[name], errors="coerce").isna().to_numpy(dtype=bool)
            row = int(is_wrong.argmax())
            raise DataFailure(
                f"{path}: row {row + 1}, column {name!r} holds {frame[name].iloc[row]!r}, which is not a number; "
                "leave the column out with task.source.features"
            )
    values = frame.to_numpy(dtype=np.float32, na_value=np.nan)
    if not np.isfinite(values).all():
        row, position = np.argwhere(~np.isfinite(values))[0]
        raise DataFailure(f"{path}: row {row + 1}, column {frame.columns[position]!r} is missing or infinite")
    return values
