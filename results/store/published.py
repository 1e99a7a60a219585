"""The store: one folder per finished attempt, published whole or not at all, and checked ever after.

A folder ``store/ab/ID.N/`` holds predictions per split, other files that the run left, and ``result.json``, written
last. A run writes into a staging folder on the same file system; publishing renames it. A process killed at any
instant leaves the final folder absent or complete. Reading never executes code.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any, TypedDict

from seedfold.jobs.errors import UnreachableError
from seedfold.jobs.work import DataFailure
from seedfold.results.store.atomic_files import fsync_path, make_folder, move
from seedfold.results.store.passing_errors import exists, try_again

RESULT_FILE = "result.json"
RUN_METRICS_FILE = "metrics.json"
"""A list of `MetricRecord` that a run may leave beside or instead of predictions."""
HISTORY_FILE = "epochs.csv"
"""A row of metrics for each epoch, or for each step that a program logged, in the column ``epoch``."""
RESOLVED_FILE = "resolved_values.json"
"""Values that a run may leave for keys of its configuration, by dotted key: those that it drew itself."""
RETURNED = "return"
"""The split and head of the metrics that the function of a program returned."""


class FileRecord(TypedDict):
    """What is known of a published file: size in bytes, SHA-256, rows if it is a table, time of change in ns."""

    bytes: int
    sha256: str
    rows: int | None
    mtime_ns: int


class MetricRecord(TypedDict):
    """One metric of one head on one split; ``value`` is None where it is undefined."""

    split: str
    head: str
    metric: str
    value: float | None


class DamagedError(UnreachableError):
    """A published result that is missing, incomplete or changed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What ``result.json`` says of an attempt. ``started`` and ``ended`` are seconds since the epoch."""

    id: str
    study: str
    stage: str
    axes: Mapping[str, Any]
    attempt: int
    run: str
    config: Mapping[str, Any]
    parents: Mapping[str, int]
    reads: Any
    code: Any
    provenance: Mapping[str, Any]
    started: float
    ended: float
    files: Mapping[str, FileRecord]
    metrics: tuple[MetricRecord, ...]
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """What late references, and values that a job draws, stood for, by dotted key."""

    @property
    def seconds(self) -> float:
        """Wall time from the attempt's start to its end."""
        return self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which shares its parts with the result."""
        own = {name: getattr(self, name) for name in Result.__dataclass_fields__}
        return {**own, "metrics": list(self.metrics)}


_RECORD_FIELDS = tuple(name for name in Result.__dataclass_fields__ if name not in {"files", "metrics", "resolved"})


_FIELD_TYPES: Mapping[type | tuple[type, ...], tuple[str, ...]] = {
    str: ("id", "study", "stage", "run"),
    dict: ("axes", "config", "parents", "provenance", "files", "resolved"),
    int: ("attempt",),
    (int, float): ("started", "ended"),
}


def publish(staging: Path, target: Path, record: Mapping[str, Any]) -> Result:
    """Complete ``record``, put it beside the run's files as ``result.json``, and move the folder to its final name.

    ``record`` has the fields of Result but ``files`` and ``metrics``, which are found here. Raises FileExistsError,
    leaving both folders as they were, if ``target`` exists; KeyError if the record lacks a field; DataFailure for a
    link or a special file in the staging folder, which would not travel with it.
    """
    _refuse_existing(target)
    fields = {name: record[name] for name in _RECORD_FIELDS}
    names = try_again(lambda: _list_files(staging), staging)
    for name in names:
        fsync_path(staging / name)
    files = try_again(lambda: {name: _make_file_record(staging / name) for name in names}, staging)
    metrics, resolved = try_again(lambda: (_collect_metrics(staging, names), _read_resolved(staging)), staging)
    result = Result(**fields, files=files, metrics=metrics, resolved={**record.get("resolved", {}), **resolved})
    text = json.dumps(result.to_dict(), ensure_ascii=False)
    try_again(lambda: _write_and_sync(staging / RESULT_FILE, text), staging)
    for folder in try_again(lambda: [Path(found) for found, _, _ in os.walk(staging, onerror=_raise)][1:], staging):
        fsync_path(folder)
    fsync_path(staging)
    _move_into_place(staging, target)
    return result


def _refuse_existing(target: Path) -> None:
    if exists(target):
        raise FileExistsError(errno.EEXIST, "a result is published there already", str(target))


def _list_files(staging: Path) -> list[str]:
    names = []
    for folder, folders, files in os.walk(staging, onerror=_raise):
        inside = os.path.relpath(folder, staging)
        for name in (*folders, *files):
            relative = name if inside == os.curdir else f"{inside}/{name}"
            kind = stat.S_IFMT(os.lstat(f"{folder}/{name}").st_mode)
            if kind not in (stat.S_IFREG, stat.S_IFDIR):
                raise DataFailure(f"{relative}: is not a regular file; copy what it points to into the folder")
            if kind == stat.S_IFREG and relative != RESULT_FILE:
                names.append(relative)
    return sorted(names, key=lambda name: name.split("/"))


def _raise(error: OSError) -> None:
    raise error


def _write_and_sync(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    fsync_path(path)


def _file_digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row_count(path: Path) -> int | None:
    if path.suffix != ".parquet":
        return None
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _make_file_record(path: Path) -> FileRecord:
    status = path.stat()
    return FileRecord(
        bytes=status.st_size, sha256=_file_digest(path), rows=_row_count(path), mtime_ns=status.st_mtime_ns
    )


def _collect_metrics(staging: Path, names: list[str]) -> tuple[MetricRecord, ...]:
    return (*_prediction_metrics(staging, names), *_read_run_metrics(staging, names))


def _read_run_metrics(staging: Path, names: list[str]) -> tuple[MetricRecord, ...]:
    """Return the metrics that a run computed itself and left in `RUN_METRICS_FILE`."""
    if RUN_METRICS_FILE not in names:
        return ()
    records: list[MetricRecord] = json.loads((staging / RUN_METRICS_FILE).read_text(encoding="utf-8"))
    return tuple(records)


def _read_resolved(staging: Path) -> dict[str, Any]:
    """Return the values that a run itself found for keys of its configuration and left in `RESOLVED_FILE`."""
    file = staging / RESOLVED_FILE
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return values


def _prediction_metrics(staging: Path, names: list[str]) -> tuple[MetricRecord, ...]:
    if not any(name.startswith("predictions.") for name in names):
        return ()
    from seedfold.results.store.metrics import head_metrics
    from seedfold.results.store.predictions import find_predictions, read_heads

    return tuple(
        MetricRecord(split=split, head=head.head, metric=metric, value=value)
        for split, path in find_predictions(staging).items()
        for head in read_heads(path)
        for metric, value in head_metrics(head).items()
    )


def _move_into_place(staging: Path, target: Path) -> None:
    new_parent = not exists(target.parent)
    make_folder(target.parent)
    try:
        move(staging, target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            _refuse_existing(target)
        raise
    fsync_path(target.parent)
    if new_parent:
        fsync_path(target.parent.parent)


def load_result(folder: Path) -> Result:
    """Return what a published folder says of itself. Raises DamagedError if it is missing or cannot be read."""
    try:
        file = folder / RESULT_FILE
        record = json.loads(try_again(lambda: file.read_text(encoding="utf-8"), file))
        fields = {name: record[name] for name in Result.__dataclass_fields__ if name != "resolved"}
        fields |= {"metrics": tuple(fields["metrics"]), "resolved": record.get("resolved", {})}
        _check_types(fields)
    except FileNotFoundError:
        raise DamagedError(f"{folder / RESULT_FILE}: missing; run the job again") from None
    except (ValueError, KeyError, TypeError, RecursionError, IsADirectoryError, NotADirectoryError) as error:
        raise DamagedError(f"{folder / RESULT_FILE}: damaged ({error}); run the job again") from error
    return Result(**fields)


def _check_types(fields: Mapping[str, Any]) -> None:
    """Raise TypeError if a field is of another type than those that are written."""
    for types, names in _FIELD_TYPES.items():
        for name in names:
            if not isinstance(fields[name], types):
                raise TypeError(f"{name}: {fields[name]!r:.40}")
    if not all(
        isinstance(each, dict) and {"split", "head", "metric", "value"} <= each.keys() for each in fields["metrics"]
    ):
        raise TypeError("metrics")
    if not all(
        isinstance(each, dict) and {"bytes", "sha256", "mtime_ns"} <= each.keys() for each in fields["files"].values()
    ):
        raise TypeError("files")


def nan_metrics(records: Iterable[MetricRecord]) -> list[str]:
    """Return the names of the metrics that are not a number, with their splits unless a program returned them."""
    found = [record for record in records if record["value"] is not None and isnan(record["value"])]
    return [("" if record["split"] == RETURNED else f"{record['split']} ") + record["metric"] for record in found]


def result_record(folder: Path) -> FileRecord:
    """Return what is known of the ``result.json`` in a published folder."""
    return _make_file_record(folder / RESULT_FILE)


def find_damage(
    folder: Path | str,
    files: Mapping[str, FileRecord] | None = None,
    check_content: bool = False,
    result: FileRecord | None = None,
) -> str | None:
    """Return what is wrong with a published folder, or None if it is whole.

    Compares with ``files``, or with what the folder says of itself: existence and size of every file, and the content
    (SHA-256) of files whose time of change differs from the recorded one; with ``check_content`` the content of all.
    ``result`` is what is known of the file ``result.json`` itself, if that was recorded.
    """
    if result is not None and (reason := _find_file_damage(folder, RESULT_FILE, result, check_content)):
        return reason
    if files is None or check_content:
        try:
            recorded = load_result(Path(folder)).files
        except DamagedError as error:
            return str(error).removeprefix(f"{folder}{os.sep}")
        files = recorded if files is None else files
    elif result is None and not os.path.exists(f"{folder}/{RESULT_FILE}"):  # noqa: PTH110
        return f"{RESULT_FILE}: missing"
    for name, record in files.items():
        reason = _find_file_damage(folder, name, record, check_content)
        if reason:
            return reason
    return None


def _status_of(file: str) -> os.stat_result:
    """The status of a file. It is asked of every file of a study: a Path would cost more than the question."""
    try:
        return os.stat(file)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError:
        return try_again(lambda: os.stat(file), file)  # noqa: PTH116


def _find_file_damage(folder: Path | str, name: str, record: FileRecord, check_content: bool) -> str | None:
    try:
        status = _status_of(f"{folder}/{name}")
    except (FileNotFoundError, NotADirectoryError):
        return f"{name}: missing"
    if status.st_size != record["bytes"]:
        return f"{name}: {status.st_size} bytes, expected {record['bytes']}"
    if (check_content or status.st_mtime_ns != record["mtime_ns"]) and _file_digest(Path(folder, name)) != record[
        "sha256"
    ]:
        return f"{name}: its content has changed"
    return None
