"""Predictions of one model from one or several files, by split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import DataFailure
from seedfold.results.imports.rows import UNKNOWN, PredictionRows, ReadOptions, refuse_value
from seedfold.results.store.predictions import file_name, write_predictions

HEAD = "main"
_TORCH = (".pt", ".pth")


@dataclass(frozen=True)
class PredictionFile:
    """One file; ``split`` says what all of it is, None that its rows say so."""

    path: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> PredictionFile:
        """Read ``FILE`` or ``SPLIT=FILE``.

        Raises UsageError if there is no such file, or if the split is not a valid name.
        """
        split, equals, name = text.partition("=")
        source = cls(Path(name), split) if equals and not Path(text).exists() else cls(Path(text))
        if not source.path.is_file():
            raise UsageError(f"{source.path}: no such file")
        if source.split is not None:
            check_split_name(source.split, text)
        return source

    def read(self, options: ReadOptions) -> PredictionRows:
        """Read and check the file. Raises UsageError, with row and column."""
        if self.path.suffix in _TORCH:
            from seedfold.results.imports.torch_lists import read_torch_list

            return read_torch_list(self.path, options)
        from seedfold.results.imports.tables import read_table

        return read_table(self.path, options)


def check_split_name(split: str, where: str) -> None:
    """Raise UsageError for a text that cannot name a split."""
    try:
        file_name(split)
    except DataFailure as error:
        raise UsageError(f"{where}: {error}") from error


def read_prediction_files(sources: Sequence[PredictionFile], options: ReadOptions) -> dict[str, PredictionRows]:
    """Return the rows of each split, in the order of files and rows.

    Raises UsageError for errors in a file, files with different numbers of classes, a split that is named twice or not
    at all, a sample that a split has twice, and a split of which only a part has labels.
    """
    rows_by_split: dict[str, list[PredictionRows]] = {}
    width: int | None = None
    for source in sources:
        rows = source.read(options)
        width = width or rows.logits.shape[1]
        if rows.logits.shape[1] != width:
            raise UsageError(f"{source.path}: {rows.logits.shape[1]} logits per row, but {sources[0].path} has {width}")
        for split, part in _split_rows(source, rows).items():
            rows_by_split.setdefault(split, []).append(part)
    return {split: _join_rows(split, found) for split, found in rows_by_split.items()}


def _split_rows(source: PredictionFile, rows: PredictionRows) -> dict[str, PredictionRows]:
    if rows.splits is None:
        if source.split is None:
            raise UsageError(f"{source.path}: its split is not known; name it: SPLIT={source.path}")
        return {source.split: rows}
    for row, split in ((row, str(rows.splits[row])) for row in _first_row_of_splits(rows)):
        if source.split not in {None, split}:
            refuse_value(source.path, row, "split", f"{split!r}, where {source.split} was said")
        check_split_name(split, f"{source.path}: row {row + 1}")
    return {str(split): rows.filter(rows.splits == split) for split in dict.fromkeys(rows.splits)}


def _first_row_of_splits(rows: PredictionRows) -> list[int]:
    """The first row of each split."""
    assert rows.splits is not None
    return sorted(int(row) for row in np.unique(rows.splits.astype(str), return_index=True)[1])


def _join_rows(split: str, parts: Sequence[PredictionRows]) -> PredictionRows:
    import pandas as pd

    ids = np.concatenate([part.ids for part in parts])
    is_repeated = pd.Index(ids).duplicated()
    if is_repeated.any():
        name = ids[int(np.argmax(is_repeated))]
        raise UsageError(f"{parts[-1].file}: column sample_id: {name!r} occurs more than once in split {split}")
    targets, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("targets", "logits"))
    _refuse_partly_labelled(parts[-1].file, split, ids, targets)
    return PredictionRows(parts[0].file, ids, targets, logits)


def _refuse_partly_labelled(file: Path, split: str, ids: NDArray[np.object_], targets: NDArray[np.int64]) -> None:
    unknown = targets == UNKNOWN
    if unknown.any() and not unknown.all():
        name, count = ids[int(np.argmax(unknown))], int(unknown.sum())
        raise UsageError(
            f"{file}: column target: {count} of {len(ids)} samples of split {split} have no class,"
            f" for example {name!r}; "
            "a split has all its labels or none, so give the labelled samples a split of their own"
        )


def content_digest(rows: PredictionRows) -> str:
    """Return the SHA-256 of ids, targets and logits in their order, whatever file they came in."""
    texts = [str(name).encode() for name in rows.ids]
    digest = hashlib.sha256(np.array([len(text) for text in texts], dtype="<i8").tobytes())
    digest.update(b"".join(texts))
    digest.update(rows.targets.astype("<i8").tobytes())
    digest.update(np.array(rows.logits.shape, dtype="<i8").tobytes())
    # Zeros of both signs are the same number.
    digest.update((rows.logits + np.float32(0)).astype("<f4").tobytes())
    return digest.hexdigest()


def write_rows(staging: Path, job: JobDescription, splits: Mapping[str, PredictionRows]) -> None:
    """Write every split as predictions of one head."""
    for split, rows in splits.items():
        ids = [str(name) for name in rows.ids]
        write_predictions(
            staging,
            split,
            job=job,
            sample_ids=ids,
            targets=np.ma.masked_equal(rows.targets, UNKNOWN),
            logits={HEAD: rows.logits},
            expected=ids,
        )
