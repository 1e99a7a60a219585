"""Predictions of one job on one split: a Parquet file, written whole and checked before it is written.

Columns: ``sample_id`` (string), ``target`` (int64 for classes, float64 for regression, null where unknown), ``head``
(string), ``logit_0`` … ``logit_{k-1}`` (float32, k of the widest head, null beyond a head's own width). One block of
rows per head, each in the order given. The footer says which job wrote it, of which configuration, with which
versions, and which samples were expected. Reading never executes code.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.work import DataFailure
from seedfold.results.store.arrow_arrays import number_array, read_known, read_numbers, text_array
from seedfold.results.store.integrity import Floats, Targets, check_ids, check_range, require_logits, require_targets

FOOTER_KEY = b"seedfold"
SCHEMA = 1
_COLUMN_TYPES = {
    "string": ("string", "large_string", "dictionary<values=string, indices=int32, ordered=0>"),
    "target": ("int64", "double"),
    "float": ("float",),
}
_ESCAPED = bytes(range(0x20)) + b'"\\'
"""What JSON writes with a backslash."""
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE_NAME = re.compile(r"predictions\.([A-Za-z0-9][A-Za-z0-9_-]*)\.parquet")


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file of predictions says of itself. ``heads`` maps each head to the number of its logits."""

    job: str
    split: str
    configuration: str
    versions: Mapping[str, str]
    samples: int
    samples_digest: str
    heads: Mapping[str, int]
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class HeadPredictions:
    """One head's rows, in file order: targets (n,), which of these are known (n,), logits (n, k) float32.

    ``ids`` (n,) is an Arrow array of strings, which compares far faster than one of Python objects.
    """

    head: str
    ids: pa.Array
    targets: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]
    logits: Floats

    @property
    def sample_ids(self) -> npt.NDArray[np.object_]:
        """The ids as an array of Python strings (n,)."""
        return np.asarray(self.ids.to_numpy(zero_copy_only=False), dtype=object)

    @property
    def is_regression(self) -> bool:
        """Whether targets are real numbers rather than classes."""
        return bool(self.targets.dtype.kind == "f")


def file_name(split: str) -> str:
    """Return the name of a split's file. Raises DataFailure for a split that cannot name one."""
    if not _SPLIT.fullmatch(split):
        raise DataFailure(f"split {split!r}: the name of a split may have only letters, digits, '_' and '-'")
    return f"predictions.{split}.parquet"


def split_of_file(name: str) -> str | None:
    """Return the split that a file's name stands for, or None if it holds no predictions."""
    match = _FILE_NAME.fullmatch(name)
    return match[1] if match else None


def find_predictions(folder: Path) -> dict[str, Path]:
    """Map each split with predictions in a result's folder to its file, in alphabetic order."""
    found = {split: path for path in folder.iterdir() if (split := split_of_file(path.name))}
    return dict(sorted(found.items()))


def write_predictions(
    staging: Path,
    split: str,
    *,
    job: JobDescription,
    sample_ids: Sequence[str],
    targets: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | None,
    logits: Mapping[str, npt.NDArray[Any]],
    expected: Collection[str],
) -> None:
    """Write one split's predictions to ``staging`` and wait until they are on disk.

    ``logits`` maps each head to an array (n, k); a class head may have one logit (of class 1) or one per class, a
    regression head has one column, the prediction. ``targets`` (n,) are class numbers or real numbers, masked or NaN
    where unknown: one array for all heads, or one for each by its name. ``expected`` are the ids that the split has.

    Raises DataFailure where ids are repeated, missing or unexpected, where lengths or types do not fit, or where the
    split is there already; NonFiniteFailure where a logit or target is infinite or a logit is not a number.
    """
    path = staging / file_name(split)
    if path.exists():
        raise DataFailure(f"split {split!r}: its predictions were written already")
    check_ids(split, sample_ids, expected)
    arrays = {head: require_logits(split, head, values, sample_ids) for head, values in logits.items()}
    if not arrays:
        raise DataFailure(f"split {split!r}: there is no head, so there is nothing to keep")
    truth = _targets_by_head(split, targets, list(arrays), sample_ids)
    for head, values in arrays.items():
        check_range(split, head, truth[head], values.shape[1], sample_ids)
    _write(path, _make_table(sample_ids, truth, arrays), _make_footer(job, split, sample_ids, arrays))


def _targets_by_head(split: str, targets: Any, heads: Sequence[str], sample_ids: Sequence[str]) -> dict[str, Targets]:
    if not isinstance(targets, Mapping):
        return dict.fromkeys(heads, require_targets(split, targets, sample_ids))
    if targets.keys() != set(heads):
        raise DataFailure(f"targets of split {split!r}: for heads {', '.join(targets)}, logits for {', '.join(heads)}")
    truth = {head: require_targets(split, targets[head], sample_ids) for head in heads}
    if len({known.values.dtype for known in truth.values()}) > 1:
        raise DataFailure(f"targets of split {split!r}: classes and real numbers in one split; give each a split")
    return truth


def _make_table(sample_ids: Sequence[str], targets: Mapping[str, Targets], logits: Mapping[str, Floats]) -> Any:
    count, width = len(sample_ids), max(values.shape[1] for values in logits.values())
    ids = text_array(sample_ids)
    truth = [number_array(each.values, each.known) for each in targets.values()]
    names = pa.DictionaryArray.from_arrays(
        number_array(np.repeat(np.arange(len(logits), dtype=np.int32), count)), text_array(list(logits))
    )
    # Arrow takes rows that lie in one piece as they are.
    rows = [np.ascontiguousarray(values.T) for values in logits.values()]
    columns = {"sample_id": _joined([ids] * len(logits)), "target": _joined(truth), "head": names}
    for number in range(width):
        columns[f"logit_{number}"] = _joined([_logit_column(head_rows, number, count) for head_rows in rows])
    return pa.table(columns)


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else pa.chunked_array(parts).combine_chunks()


def _logit_column(rows: Floats, number: int, count: int) -> Any:
    return number_array(rows[number]) if number < len(rows) else pa.nulls(count, type=pa.float32())


def samples_digest(sample_ids: Collection[str]) -> str:
    """Return the SHA-256 of a set of ids, whatever their order."""
    return hashlib.sha256(_encode_list(sorted(sample_ids))).hexdigest()


def _encode_list(texts: Sequence[str]) -> bytes:
    """Return what ``json.dumps`` does, encoded, at once where no text needs an escape."""
    joined = '", "'.join(texts).encode()
    if texts and len(joined) - len(joined.translate(None, _ESCAPED)) == 2 * (len(texts) - 1):
        return b'["' + joined + b'"]'
    return json.dumps(texts, ensure_ascii=False).encode()


def configuration_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration's canonical JSON."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


@cache
def _versions() -> dict[str, str]:
    return {
        "seedfold": version("seedfold"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }


def _make_footer(job: JobDescription, split: str, sample_ids: Sequence[str], logits: Mapping[str, Floats]) -> Footer:
    return Footer(
        job=job.id,
        split=split,
        configuration=configuration_digest(job.config),
        versions=_versions(),
        samples=len(sample_ids),
        samples_digest=samples_digest(sample_ids),
        heads={head: values.shape[1] for head, values in logits.items()},
    )


def _write(path: Path, table: Any, footer: Footer) -> None:
    # Dictionaries make columns of random floats larger and slower; streams of equal bytes compress.
    logits = [name for name in table.column_names if name.startswith("logit_")]
    others = ["sample_id", "target", "head"]
    floats = [*logits, "target"] if pa.types.is_floating(table.schema.field("target").type) else logits
    dictionaries = [name for name in ("target", "head") if name not in floats]
    encoding = {**dict.fromkeys(floats, "BYTE_STREAM_SPLIT"), "sample_id": "DELTA_BYTE_ARRAY"}
    described = table.replace_schema_metadata({FOOTER_KEY: json.dumps(asdict(footer), ensure_ascii=False)})
    content = pa.BufferOutputStream()
    pq.write_table(
        described,
        content,
        # zstd makes logits 2 % smaller than lz4, and takes twice the time to write and to read.
        compression={**dict.fromkeys(logits, "lz4"), **dict.fromkeys(others, "zstd")},
        use_dictionary=dictionaries,
        column_encoding=encoding,
        write_statistics=others,
        write_page_checksum=True,
    )
    # Not created exclusively: a network file system repeats a call whose reply was lost, and would then refuse it.
    with path.open("wb", buffering=0) as file:
        _write_all(file, content.getvalue())
        os.fsync(file.fileno())


def _write_all(file: RawIOBase, content: Any) -> None:
    """Write all of a buffer; one call may write less than it was given."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _parse_footer(path: Path, metadata: Mapping[bytes, bytes] | None) -> Footer:
    if not metadata or FOOTER_KEY not in metadata:
        raise DataFailure(f"{path}: holds no predictions (its footer does not say which job wrote it)")
    try:
        footer = Footer(**json.loads(metadata[FOOTER_KEY]))
        widths = footer.heads.values()
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataFailure(f"{path}: its footer is damaged ({error})") from error
    if not widths or not all(type(width) is int and width > 0 for width in widths):
        raise DataFailure(f"{path}: its footer is damaged (heads: {footer.heads!r:.80})")
    return footer


def read_footer(path: Path) -> Footer:
    """Return what a file of predictions says of itself; raises DataFailure if it is none."""
    return _parse_footer(path, _read_parquet(path, schema_only=True))


def _read_parquet(path: Path, schema_only: bool = False, columns: list[str] | None = None) -> Any:
    try:
        if schema_only:
            return pq.read_schema(path).metadata
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(use_threads=False, columns=columns)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataFailure(f"{path}: cannot be read as Parquet: {reason}") from error


def count_unknown_targets(path: Path) -> int:
    """Return how many rows of a file of predictions have no target; raises DataFailure if it is damaged or none."""
    footer_metadata = _read_parquet(path, schema_only=True)
    _parse_footer(path, footer_metadata)
    target = _read_parquet(path, columns=["target"]).column("target")
    return int(target.null_count)


def read_predictions(path: Path) -> Any:
    """Return the file's rows as an Arrow table, its footer in the schema's metadata; raises DataFailure if damaged."""
    table = _read_parquet(path)
    _check_columns(path, table, _parse_footer(path, table.schema.metadata))
    return table


def _check_columns(path: Path, table: Any, footer: Footer) -> None:
    """Raise DataFailure if a file has other columns or another number of rows than its footer says."""
    logits = [f"logit_{number}" for number in range(max(footer.heads.values()))]
    wanted = {**dict.fromkeys(("sample_id", "head"), "string"), "target": "target", **dict.fromkeys(logits, "float")}
    for name, kind in wanted.items():
        if table.column_names.count(name) != 1:
            has = "has two columns" if name in table.column_names else "has no column"
            raise DataFailure(f"{path}: {has} {name}")
        found = str(table.schema.field(name).type)
        if found not in _COLUMN_TYPES[kind]:
            raise DataFailure(f"{path}: its column {name} is of type {found}")
    if sum(name.startswith("logit_") for name in table.column_names) != len(logits):
        raise DataFailure(f"{path}: has other columns of logits than its footer says ({footer.heads!r:.80})")
    if table.num_rows != footer.samples * len(footer.heads):
        raise DataFailure(
            f"{path}: has {table.num_rows} rows, not one of {footer.samples} samples for each of"
            f" {len(footer.heads)} heads"
        )


def verify_pages(paths: Sequence[Path]) -> None:
    """Compare the pages of files of predictions with their checksums; raises DataFailure for one that is damaged."""
    from concurrent.futures import ThreadPoolExecutor

    def verify(path: Path) -> None:
        read_predictions(path)

    with ThreadPoolExecutor() as pool:
        list(pool.map(verify, paths))


def read_heads(path: Path) -> Iterator[HeadPredictions]:
    """Yield each head's rows as arrays, without the columns beyond its own width."""
    table = read_predictions(path)
    heads = _parse_footer(path, table.schema.metadata).heads
    count = table.num_rows // len(heads)
    for number, (head, width) in enumerate(heads.items()):
        yield _make_head(head, table.slice(number * count, count), width)


def _make_head(head: str, block: Any, width: int) -> HeadPredictions:
    target = block.column("target")
    logits = np.empty((block.num_rows, width), dtype=np.float32)
    for number in range(width):
        logits[:, number] = read_numbers(block.column(f"logit_{number}"))
    return HeadPredictions(
        head=head,
        ids=block.column("sample_id").combine_chunks(),
        targets=read_numbers(target),
        known=read_known(target),
        logits=logits,
    )
