"""Rows of several runs put one after another, as arrays: out-of-fold tables and ensembles both use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.results.evaluation.query import split_files
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import HeadPredictions, read_heads

_READERS = 4
_READ_AHEAD = 16


@dataclass(frozen=True, slots=True)
class PooledHead:
    """One head's rows of several runs; ``sources`` (n,) holds the position of each row's run."""

    rows: HeadPredictions
    sources: npt.NDArray[np.int64]


def _read_heads(path: Path) -> list[HeadPredictions]:
    return list(read_heads(path))


def read_runs(runs: Sequence[FinishedJob], split: str) -> Iterator[list[HeadPredictions]]:
    """Yield the heads of each run on a split, in order, reading a few ahead.

    Raises UsageError for a run without that split, DataFailure for a damaged file.
    """
    files = {each.run.id: each.path for each in split_files(runs, [split])}
    for run in runs:
        if run.id not in files:
            raise UsageError(f"job {run.short_id}: has no predictions of split {split!r}")
    paths = iter([files[run.id] for run in runs])
    with ThreadPoolExecutor(_READERS) as readers:
        while batch := list(islice(paths, _READ_AHEAD)):
            yield from readers.map(_read_heads, batch)


def pool_runs(runs: Sequence[FinishedJob], split: str) -> dict[str, PooledHead]:
    """Return the rows of all runs, in order, by head.

    Raises UsageError if heads, their widths or kinds of targets differ, or a sample appears twice.
    """
    heads_by_run = list(read_runs(runs, split))
    names = [part.head for part in heads_by_run[0]]
    for run, part in zip(runs, heads_by_run, strict=True):
        if [each.head for each in part] != names:
            raise UsageError(
                f"jobs {runs[0].short_id} and {run.short_id}: they have different heads and cannot be pooled"
            )
    return {name: _pool_head(runs, [part[number] for part in heads_by_run]) for number, name in enumerate(names)}


def _pool_head(runs: Sequence[FinishedJob], heads: Sequence[HeadPredictions]) -> PooledHead:
    for run, part in zip(runs, heads, strict=True):
        check_same_kind(heads[0], part, f"jobs {runs[0].short_id} and {run.short_id}")
    rows = HeadPredictions(
        head=heads[0].head,
        ids=pa.concat_arrays([part.ids for part in heads]),
        targets=np.concatenate([part.targets for part in heads]),
        known=np.concatenate([part.known for part in heads]),
        logits=np.concatenate([part.logits for part in heads]),
    )
    _refuse_repeated_samples(runs, rows)
    return PooledHead(rows, np.repeat(np.arange(len(heads)), [len(part.ids) for part in heads]))


def check_same_kind(first: HeadPredictions, other: HeadPredictions, jobs: str) -> None:
    """Raise UsageError unless two heads have the same number of logits and the same kind of targets."""
    if first.logits.shape[1] != other.logits.shape[1]:
        widths = f"{first.logits.shape[1]} and {other.logits.shape[1]}"
        raise UsageError(f"{jobs}: head {first.head!r} has {widths} logits; select runs of one task")
    if first.is_regression != other.is_regression:
        raise UsageError(
            f"{jobs}: head {first.head!r} has classes in one job and numbers in another; select runs of one task"
        )


def _refuse_repeated_samples(runs: Sequence[FinishedJob], rows: HeadPredictions) -> None:
    import pandas as pd

    if pc.count_distinct(rows.ids).as_py() == len(rows.ids):
        return
    repeated = pd.unique(rows.sample_ids[pd.Index(rows.sample_ids).duplicated()])
    jobs = " ".join(run.short_id for run in runs[:3])
    named = ", ".join(repr(each) for each in repeated[:3].tolist())
    samples = count_noun(len(repeated), "sample is", "samples are")
    raise UsageError(
        f"out-of-fold: {samples} in more than one fold ({named}) of jobs {jobs}…; "
        "an axis that tells these jobs apart is missing, or this axis does not divide the samples into folds"
    )


def target_column(rows: HeadPredictions) -> Any:
    """Return targets as a pandas column, whole numbers or real numbers, null where unknown."""
    import pandas as pd

    if rows.is_regression:
        return pd.Series(np.where(rows.known, rows.targets, np.nan))
    return pd.Series(rows.targets) if rows.known.all() else pd.Series(rows.targets, dtype="Int64").where(rows.known)
