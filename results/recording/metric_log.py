"""The metrics that a job logs while it runs: lines of JSON, one file for each attempt, which one process appends to.

An attempt that goes on from a checkpoint logs some steps again. What an earlier attempt logged from the first of these
steps on does not count any more. A kill can cut the last line of a file; that line does not count either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from seedfold.jobs.work import DataFailure

Row = dict[str, float]
LogKind = Literal["metrics", "epochs"]
"""``metrics`` are those that a program logs, ``epochs`` those of our trainers, whose result has them anyway."""


def append_metrics(
    folder: Path, attempt: int, step: int | None, metrics: Mapping[str, Any], kind: LogKind = "metrics"
) -> None:
    """Append the metrics of a step in one write. Raises DataFailure for a value that is not one number."""
    values = {str(name): to_number(str(name), value) for name, value in metrics.items()}
    line = json.dumps({"step": None if step is None else int(step), "values": values}).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"{kind}.{attempt}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def to_number(name: str, value: Any) -> float:
    """Return a number, also that of an array or a tensor of one element. Raises DataFailure for anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) <= 1:
        try:
            value = value.item()
        except (ValueError, RuntimeError) as error:
            raise DataFailure(f"metric {name}: has {len(value)} values, a metric is one number") from error
    if not isinstance(value, Real):
        raise DataFailure(f"metric {name}: {value!r} is not a number")
    return float(value)


@dataclass
class LoggedMetrics:
    """What a job has logged: ``rows`` by step, in ascending order, and the ``last`` value of each metric."""

    rows: dict[int, Row] = field(default_factory=dict)
    without_step: Row = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The metrics that have steps, in the order in which they first occur."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))

    @property
    def last(self) -> Row:
        """The last value of every metric; one that was logged without a step counts before one of a step."""
        last: Row = {}
        for row in self.rows.values():
            last |= row
        return last | self.without_step


def read_metrics(folder: Path, kind: LogKind = "metrics") -> LoggedMetrics:
    """Return what all attempts of a job have logged, the later ones in place of the earlier ones."""
    logged = LoggedMetrics()
    for _, file in sorted(_files_by_attempt(folder, kind)):
        is_first = True
        for step, values in _whole_lines(file):
            if step is None:
                logged.without_step |= values
                continue
            if is_first:
                logged.rows = {earlier: row for earlier, row in logged.rows.items() if earlier < step}
            logged.rows.setdefault(step, {}).update(values)
            is_first = False
    logged.rows = dict(sorted(logged.rows.items()))
    return logged


def _files_by_attempt(folder: Path, kind: LogKind) -> Iterator[tuple[int, Path]]:
    if folder.is_dir():
        for file in folder.iterdir():
            name, attempt, suffix = (*file.name.split("."), "", "")[:3]
            if (name, suffix) == (kind, "jsonl") and file.name.count(".") == 2:
                yield int(attempt), file


def _whole_lines(file: Path) -> Iterator[tuple[int | None, Row]]:
    *lines, _ = file.read_bytes().split(b"\n")
    for line in lines:
        record = json.loads(line)
        yield record["step"], record["values"]
