"""Predictions that a job hands over in batches: one Arrow stream for each process, split and head of an attempt.

Each batch is whole or absent. A sample that a later attempt predicts again replaces that of an earlier attempt; within
one attempt, a process predicts a sample once for each split and head.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seedfold.jobs.work import DataFailure
from seedfold.results.store.arrow_arrays import number_array, read_known, read_numbers, text_array
from seedfold.results.store.integrity import require_logits, require_targets
from seedfold.results.store.passing_errors import try_again
from seedfold.results.store.predictions import file_name

Array = npt.NDArray[Any]
SUFFIX = ".arrow"


@dataclass(frozen=True, slots=True)
class HeadRows:
    """Rows of one split and head: ids (n,), targets (n,), which of these are known (n,), logits (n, k) float32."""

    ids: list[str]
    targets: Array
    known: npt.NDArray[np.bool_]
    logits: Array


def to_batch(split: str, head: str, sample_ids: Sequence[str], targets: Array | None, logits: Array) -> Any:
    """Return a record batch of ids (n,), targets (n,) or None, and logits (n, k).

    Raises DataFailure for wrong shapes and types, NonFiniteFailure for numbers that are not finite.
    """
    file_name(split)
    values = require_logits(split, head, logits, sample_ids)
    truth = require_targets(split, targets, sample_ids)
    return pa.record_batch(
        {
            "sample_id": text_array(sample_ids),
            "target": number_array(truth.values, truth.known),
            **{f"logit_{number}": number_array(values[:, number]) for number in range(values.shape[1])},
        }
    )


class PredictionParts:
    """Writes the batches of this process into files in ``folder``."""

    def __init__(self, folder: Path, attempt: int, rank: int) -> None:
        self._folder, self._attempt, self._rank = folder, attempt, rank
        self._writers: dict[tuple[str, str, int], Any] = {}

    def write(self, split: str, head: str, sample_ids: Sequence[str], targets: Array | None, logits: Array) -> None:
        """Append one batch: ids (n,), targets (n,) or None, logits (n, k).

        Raises DataFailure for wrong shapes and types, NonFiniteFailure for numbers that are not finite.
        """
        batch = to_batch(split, head, sample_ids, targets, logits)
        # A process that was forked from one that has written writes files of its own.
        key = (split, head, os.getpid())
        if key not in self._writers:
            self._writers[key] = self._open(key, batch.schema)
        try:
            self._writers[key].write_batch(batch)
        except pa.ArrowInvalid as error:
            raise DataFailure(
                f"predictions of split {split!r}, head {head!r}: this batch has other columns or types than those"
                f" before it ({error})"
            ) from error

    def _open(self, key: tuple[str, str, int], schema: Any) -> Any:
        split, head, _ = key
        folder = self._folder / split / head.replace("/", "%2F")
        folder.mkdir(parents=True, exist_ok=True)
        # Not buffered: what was handed over is there even if the process ends without a word.
        # Nobody else has the name. "x" would fail where the kernel opens the file again after a stale handle.
        file = (folder / f"{self._attempt}-{self._rank:05}-{uuid4().hex}{SUFFIX}").open("wb", buffering=0)
        return pa.ipc.new_stream(file, schema)


def read_parts(folder: Path) -> dict[str, dict[str, HeadRows]]:
    """Return all rows by split and head. Raises DataFailure for a sample that one attempt predicted twice.

    A folder without rows is that of an attempt which was killed before it had written any.
    """
    found: dict[str, dict[str, HeadRows]] = {}
    for head in sorted(folder.glob("*/*")):
        rows = _read_head(head.parent.name, head)
        if rows is not None:
            found.setdefault(head.parent.name, {})[head.name.replace("%2F", "/")] = rows
    return found


def _read_head(split: str, folder: Path) -> HeadRows | None:
    batches: dict[tuple[int, int], list[Any]] = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        attempt, rank, _ = file.stem.split("-")
        # Of processes that train together, the row of the lowest rank counts, so it comes last.
        batches.setdefault((int(attempt), -int(rank)), []).extend(_read_batches(file))
    tables = {key: pa.Table.from_batches(found) for key, found in sorted(batches.items()) if found}
    for table in tables.values():
        refuse_repeated(split, folder.name, table.column("sample_id").to_pylist())
    for number in {number for number, _ in tables}:
        _refuse_other_targets(split, folder.name, [table for key, table in tables.items() if key[0] == number])
    return _join(list(tables.values())) if tables else None


def _read_batches(file: Path) -> Iterator[Any]:
    """Yield the whole batches of a file: a process that was killed may have left a part of one at the end.

    Raises OSError if the file cannot be read.
    """
    content = try_again(file.read_bytes, file)
    # Arrow says that a stream ends early by an OSError as well.
    with suppress(pa.ArrowInvalid, OSError), pa.ipc.open_stream(content) as reader:
        yield from reader


def refuse_repeated(split: str, head: str, sample_ids: Iterable[str]) -> None:
    """Raise DataFailure for samples that occur twice."""
    repeated = [name for name, count in Counter(sample_ids).items() if count > 1]
    if repeated:
        raise DataFailure(
            f"predictions of split {split!r}, head {head!r}: {len(repeated)} samples were predicted twice"
            f" ({', '.join(map(repr, repeated[:3]))}); hand over those of one epoch only, such as the last"
        )


def _refuse_other_targets(split: str, head: str, tables: Sequence[Any]) -> None:
    """Refuse samples of several processes that have one name and different targets.

    The same sample in several processes is none of these: samplers fill up the shares of processes with samples of
    others, so that all shares have one size.
    """
    columns = [
        zip(table.column("sample_id").to_pylist(), table.column("target").to_pylist(), strict=True) for table in tables
    ]
    pairs = {pair for column in columns for pair in column}
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise DataFailure(
            f"predictions of split {split!r}, head {head!r}: {len(repeated)} samples have other targets in other"
            f" processes ({', '.join(map(repr, repeated[:3]))}); a sample_id has to name one sample"
        )


def _join(tables: Sequence[Any]) -> HeadRows:
    """Put the rows of several attempts together, those of a later one in place of those of an earlier one."""
    table = pa.concat_tables(tables)
    ids = table.column("sample_id").to_pylist()
    rows = sorted({name: row for row, name in enumerate(ids)}.values())
    target = table.column("target")
    widths = [name for name in table.column_names if name.startswith("logit_")]
    logits = np.stack([read_numbers(table.column(name)) for name in widths], axis=1)
    return HeadRows(
        ids=[ids[row] for row in rows],
        targets=read_numbers(target)[rows],
        known=read_known(target)[rows],
        logits=logits[rows],
    )


def to_arrays(rows: Mapping[str, HeadRows], split: str) -> tuple[list[str], dict[str, Array], dict[str, Array]]:
    """Return ids (n,), and targets (n,) and logits (n, k) of each head in the order of these ids.

    Raises DataFailure if heads have different samples.
    """
    first_name, first = next(iter(rows.items()))
    place = {name: number for number, name in enumerate(first.ids)}
    targets: dict[str, Array] = {}
    logits: dict[str, Array] = {}
    for head, part in rows.items():
        if set(part.ids) != set(place):
            different = len(set(part.ids) ^ set(place))
            raise DataFailure(
                f"predictions of split {split!r}: heads {first_name!r} and {head!r} differ in {different} samples"
            )
        order = np.argsort([place[name] for name in part.ids])
        targets[head] = np.ma.masked_array(part.targets, mask=~part.known)[order]
        logits[head] = part.logits[order]
    return first.ids, targets, logits
