"""SQL over the predictions of many runs: DuckDB reads their Parquet files in place, and writes nothing.

The table ``predictions`` has the columns ``job, split, sample_id, target, head, logit_0 …, stage`` and one per axis
(quote a name with a dot: ``"sampling.imbalance_ratio"``), and for order ``run_number`` and ``row_number``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.evaluation.axes import address_frame, axis_names
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import find_predictions, verify_pages
from seedfold.results.store.published import DamagedError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_GLOB_CHARACTERS = re.compile(r"([*?\[])")


@dataclass(frozen=True, slots=True)
class SplitFile:
    """One run's predictions of one split."""

    run: FinishedJob
    split: str
    path: Path


def split_files(runs: Sequence[FinishedJob], splits: Collection[str] | None = None) -> list[SplitFile]:
    """Return the files of predictions of runs, in their order; all splits, or those named.

    Raises DamagedError if a run's folder is gone, UsageError for a split that none of the runs has.
    """
    found = [SplitFile(run, split, path) for run in runs for split, path in _find_predictions(run).items()]
    if splits is None:
        return found
    known = {each.split for each in found}
    for split in splits if found else ():
        if split not in known:
            listed = ", ".join(sorted(known))
            raise UsageError(f"split {split!r}: no run has this split{did_you_mean(split, known)}; splits: {listed}")
    return [each for each in found if each.split in splits]


def _find_predictions(run: FinishedJob) -> dict[str, Path]:
    try:
        return find_predictions(run.folder)
    except FileNotFoundError:
        raise DamagedError(f"job {run.short_id}: {run.folder} is missing; run the job again") from None


def quote_name(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def connect(runs: Sequence[FinishedJob], splits: Collection[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection in memory that has the table ``predictions``. Raises UsageError if there is none to read."""
    import duckdb

    files = split_files(runs, splits)
    if not files:
        raise UsageError("predictions: none of these runs has predictions; `seedfold status` says what is done")
    # DuckDB does not look at the checksums.
    verify_pages([each.path for each in files])
    with duckdb.connect() as connection:
        connection.register("files", _file_frame(files))
        connection.execute(_view_sql(files, axis_names(runs)))
        yield connection


def _file_frame(files: Sequence[SplitFile]) -> pd.DataFrame:
    import pandas as pd

    addresses = address_frame([each.run for each in files])
    own = pd.DataFrame(
        {
            "path": [str(each.path.absolute()) for each in files],
            "job": [each.run.short_id for each in files],
            "split": [each.split for each in files],
            "run_number": range(len(files)),
        }
    )
    return pd.concat([own, addresses], axis=1)


def _view_sql(files: Sequence[SplitFile], axes: Sequence[str]) -> str:
    # DuckDB would read brackets and asterisks in a folder's name as a pattern, and key=value folders as columns.
    paths = ", ".join(_quote_text(_GLOB_CHARACTERS.sub(r"[\1]", str(each.path.absolute()))) for each in files)
    columns = ", ".join(f"f.{quote_name(name)}" for name in ["stage", *axes])
    return f"""
        CREATE TEMP VIEW predictions AS
        SELECT f.job, f.split, p.* EXCLUDE (filename, file_row_number), {columns},
               f.run_number, p.file_row_number AS row_number
        FROM read_parquet([{paths}], union_by_name=true, filename=true, file_row_number=true,
                          hive_partitioning=false) AS p
        JOIN files AS f ON p.filename = f.path
    """


def _quote_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def query(runs: Sequence[FinishedJob], sql: str, splits: Collection[str] | None = None) -> pd.DataFrame:
    """Return the answer to ``sql`` over the table ``predictions`` of these runs.

    Raises UsageError if there are no predictions or the SQL is wrong.
    """
    import duckdb

    with connect(runs, splits) as connection:
        try:
            return connection.execute(sql).df()
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise UsageError(f"query: {' '.join(str(error).split())}") from error


def query_accuracies(runs: Sequence[FinishedJob], splits: Collection[str] | None = None) -> pd.DataFrame:
    """Return accuracy straight from the predictions, in one pass: job, split, head, accuracy, samples.

    Counts rows whose target is known; meant for class targets.
    """
    with connect(runs, splits) as connection:
        columns = connection.sql("SELECT * FROM predictions LIMIT 0").columns
        width = sum(name.startswith("logit_") for name in columns)
        largest = f"greatest({', '.join(f'logit_{number}' for number in range(width))})"
        return connection.execute(
            f"""
            SELECT f.job, f.split, head, accuracy, samples FROM (
                SELECT run_number, head, avg(({_guessed_class_sql(width)} = target)::INT) AS accuracy,
                       count(target) AS samples, min(row_number) AS row_number
                FROM (SELECT *, {largest} AS largest FROM predictions) GROUP BY run_number, head
            ) JOIN files AS f USING (run_number) ORDER BY run_number, row_number
            """
        ).df()


def _guessed_class_sql(width: int) -> str:
    """Return the SQL of a row's guessed class: the first of the largest logits, or by the sign of a single one."""
    cases = " ".join(f"WHEN logit_{number} = largest THEN {number}" for number in range(width))
    single = "logit_1 IS NULL AND logit_0 > 0" if width > 1 else "logit_0 > 0"
    return f"CASE {cases} END + ({single})::INT"
