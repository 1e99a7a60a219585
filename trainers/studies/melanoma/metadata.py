"""Reads samples from tables of categories and numbers, fills their gaps, and turns them into numbers.

Everything that is learnt from data (the mean of a number, the shares of a category, the scale) is learnt from all rows
of the development table, before there are folds, and never from targets or the test table. Thus the validation
rows of a fold influence the mean and scale of its training rows, as in the published study of melanoma.

1. Fields that are empty or hold one of the words in ``missing`` are missing; categories in ``merge`` become one.
2. A missing number becomes the mean, rounded to a whole number. A missing category is drawn with the observed
   frequencies, by a generator of the seed, the column and the table; so rows of one table do not change another's.
3. Categories become columns of 0 and 1, in alphabetic order and without the first. A category that only the test table
   has is 0 in all of them, and is reported.
4. Numbers are standardised to mean 0 and deviation 1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.samples import (
    UNKNOWN,
    Floats,
    Indices,
    Labels,
    Reads,
    Samples,
    check_samples,
    require_data_path,
)
from seedfold.trainers.data.table import find_column, read_frame, read_ids, to_class_numbers

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metadata:
    """Read samples from a development table and a test table, CSV or Parquet, prepared as this module says.

    Rows of ``test_path`` are held out; their classes are unknown where it has no column ``target``. A row without a
    ``group`` is a group of its own. ``other_names`` has further names of columns, for tables that lack a column by its
    own name. ``merge`` maps a new name to the categories that get it.
    """

    path: str
    id: str
    target: str
    classes: int
    categories: Sequence[str]
    numbers: Sequence[str]
    test_path: str | None = None
    group: str | None = None
    missing: Sequence[str] = ()
    other_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    merge: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0

    def load(self, reads: Reads) -> Samples:
        """Read the tables.

        Raises DataFailure for a missing file or column, a value that is not a number, or a column without any value.
        """
        tables = [self._read_table(place, reads) for place in (self.path, self.test_path) if place is not None]
        inputs = [self._prepare_column(name, tables) for name in [*self.numbers, *self.categories]]
        parts = [np.hstack(each) for each in zip(*inputs, strict=True)]
        held_out = np.repeat([False, True][: len(tables)], [len(table.rows) for table in tables])
        samples = Samples(
            ids=tuple(name for table in tables for name in read_ids(table.rows, self.id, table.path)),
            inputs=np.vstack(parts).astype(np.float32),
            targets=np.concatenate([self._read_targets(*each) for each in enumerate(tables)]),
            groups=None if self.group is None else np.concatenate([self._read_groups(table) for table in tables]),
            held_out=held_out,
        )
        return check_samples(samples, " and ".join(str(table.path) for table in tables), self.classes)

    def _read_table(self, path_text: str, reads: Reads) -> _TableRows:
        path = require_data_path(path_text)
        reads(path)
        rows = read_frame(path, text=[self.id, *([] if self.group is None else [self.group])])
        if not len(rows):
            raise DataFailure(f"{path}: holds no samples")
        return _TableRows(path, rows)

    def _prepare_column(self, name: str, tables: Sequence[_TableRows]) -> list[Floats]:
        """Return the columns (n, k) that a column becomes in each table."""
        names = [name, *self.other_names.get(name, ())]
        columns = [table.observed_column(names, self.missing) for table in tables]
        if not columns[0].notna().any():
            raise DataFailure(f"{tables[0].path}: column {name!r} is missing in every row; leave it out of task.source")
        if name in self.numbers:
            return _standardise(
                [to_numbers(each, name, table.path) for each, table in zip(columns, tables, strict=True)]
            )
        merged_name = {old: new for new, names in self.merge.items() for old in names}
        merged = [each.map(lambda value: merged_name.get(value, value), na_action="ignore") for each in columns]
        seeds = [self.seed, self.categories.index(name)]
        return list(_make_dummies(list(_fill_by_drawing(merged, seeds)), name))

    def _read_targets(self, number: int, table: _TableRows) -> Indices:
        if number and self.target not in table.rows:
            return np.full(len(table.rows), UNKNOWN, dtype=np.int64)
        return to_class_numbers(table.rows[find_column(table.rows, self.target, table.path)], None, table.path)

    def _read_groups(self, table: _TableRows) -> Labels:
        groups = table.rows[find_column(table.rows, str(self.group), table.path)].astype("object")
        own_groups = np.array([f"{self.id} {name}" for name in read_ids(table.rows, self.id, table.path)], dtype=object)
        return np.where(groups.isna(), own_groups, groups).astype(str)


@dataclass(frozen=True)
class _TableRows:
    path: Path
    rows: pd.DataFrame

    def observed_column(self, names: Sequence[str], missing: Sequence[str]) -> pd.Series[Any]:
        """Return the column that has the first of ``names``, with None for each missing value."""
        name = next((each for each in names if each in self.rows), names[0])
        return to_observed(self.rows[find_column(self.rows, name, self.path)], missing)


def to_observed(values: pd.Series[Any], missing: Sequence[str]) -> pd.Series[Any]:
    """Return values as objects, with None if a field is empty or holds one of the words in ``missing``."""
    plain = values.astype("object")
    return plain.where(plain.notna() & ~plain.isin(list(missing)), None)


def to_numbers(values: pd.Series[Any], name: str, path: Path) -> Array:
    """Return numbers (n,), NaN for missing ones; raises DataFailure naming the first row with another value."""
    import pandas as pd

    found = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    is_wrong = values.notna().to_numpy() & ~np.isfinite(found)
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise DataFailure(f"{path}: row {row + 1}, column {name!r} holds {values.iloc[row]!r}, which is not a number")
    return found


def _standardise(tables: Sequence[Array]) -> list[Floats]:
    """Fill gaps and scale numbers, by mean and deviation of the first table."""
    mean = float(np.round(np.nanmean(tables[0])))
    filled = [np.where(np.isnan(values), mean, values) for values in tables]
    # A constant column has no information; it becomes 0 instead of infinite.
    middle, scale = filled[0].mean(), filled[0].std() or 1.0
    return [((values - middle) / scale)[:, None].astype(np.float32) for values in filled]


def _fill_by_drawing(tables: Sequence[pd.Series[Any]], seeds: Sequence[int]) -> Iterator[pd.Series[Any]]:
    """Fill gaps by draws, with the frequencies of the first table."""
    shares = tables[0].value_counts(normalize=True).sort_index()
    for number, values in enumerate(tables):
        draws = np.random.default_rng([*seeds, number]).choice(shares.index.to_numpy(), len(values), p=shares)
        yield values.where(values.notna(), draws)


def _make_dummies(tables: Sequence[pd.Series[Any]], name: str) -> Iterator[Floats]:
    """Return columns (n, categories - 1) of 0 and 1, for the categories of the first table."""
    categories = sorted(set(tables[0]))
    for values in tables:
        for unknown in sorted(set(values) - set(categories)):
            _log.warning(
                "%s: %r does not occur in the development table; it counts as none of the known categories",
                name,
                unknown,
            )
        yield np.asarray(values.to_numpy()[:, None] == np.array(categories[1:], dtype=object)[None], dtype=np.float32)
