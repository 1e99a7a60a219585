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
from seedfold.results.imports.rows import UNKNOWN, ReadOptions, Rows, refuse
from seedfold.results.store.predictions import file_name, write_predictions

HEAD = "main"
_TORCH = (".pt", ".pth")


@dataclass(frozen=True)
class Source:
    """One file; ``split`` says what all of it is, None that its rows say so."""

    file: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``FILE`` or ``SPLIT=FILE``. Raises UsageError where there is no such file, or no such split can be."""
        split, equals, name = text.partition("=")
        source = cls(Path(name), split) if equals and not Path(text).exists() else cls(Path(text))
        if not source.file.is_file():
            raise UsageError(f"{source.file}: no such file")
        if source.split is not None:
            check_split(source.split, text)
        return source

    def read(self, options: ReadOptions) -> Rows:
        """Read and check the file. Raises UsageError, with row and column."""
        if self.file.suffix in _TORCH:
            from seedfold.results.imports.torch_lists import read_torch_list

            return read_torch_list(self.file, options)
        from seedfold.results.imports.tables import read_table

        return read_table(self.file, options)


def check_split(split: str, where: str) -> None:
    """Raise UsageError for a text that cannot name a split."""
    try:
        file_name(split)
    except DataFailure as error:
        raise UsageError(f"{where}: {error}") from error


def read_sources(sources: Sequence[Source], options: ReadOptions) -> dict[str, Rows]:
    """Return the rows of each split, in the order of files and rows.

    Raises UsageError for what a file has wrong, files with different numbers of classes, a split that is told twice or
    not at all, a sample that a split has twice, and a split of which only a part has labels.
    """
    parts: dict[str, list[Rows]] = {}
    width: int | None = None
    for source in sources:
        rows = source.read(options)
        width = width or rows.logits.shape[1]
        if rows.logits.shape[1] != width:
            raise UsageError(f"{source.file}: {rows.logits.shape[1]} logits a row, {sources[0].file} has {width}")
        for split, part in _by_split(source, rows).items():
            parts.setdefault(split, []).append(part)
    return {split: _joined(split, found) for split, found in parts.items()}


def _by_split(source: Source, rows: Rows) -> dict[str, Rows]:
    if rows.splits is None:
        if source.split is None:
            raise UsageError(f"{source.file}: nothing says which split it is; name it: SPLIT={source.file}")
        return {source.split: rows}
    for row, split in ((row, str(rows.splits[row])) for row in _firsts(rows)):
        if source.split not in {None, split}:
            refuse(source.file, row, "split", f"{split!r}, where {source.split} was said")
        check_split(split, f"{source.file}: row {row + 1}")
    return {str(split): rows.take(rows.splits == split) for split in dict.fromkeys(rows.splits)}


def _firsts(rows: Rows) -> list[int]:
    """The first row of each split."""
    assert rows.splits is not None
    return sorted(int(row) for row in np.unique(rows.splits.astype(str), return_index=True)[1])


def _joined(split: str, parts: Sequence[Rows]) -> Rows:
    import pandas as pd

    ids = np.concatenate([part.ids for part in parts])
    repeated = pd.Index(ids).duplicated()
    if repeated.any():
        name = ids[int(np.argmax(repeated))]
        raise UsageError(f"{parts[-1].file}: column sample_id: {name!r} is there more than once in split {split}")
    targets, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("targets", "logits"))
    _refuse_partly_labelled(parts[-1].file, split, ids, targets)
    return Rows(parts[0].file, ids, targets, logits)


def _refuse_partly_labelled(file: Path, split: str, ids: NDArray[np.object_], targets: NDArray[np.int64]) -> None:
    unknown = targets == UNKNOWN
    if unknown.any() and not unknown.all():
        name, count = ids[int(np.argmax(unknown))], int(unknown.sum())
        raise UsageError(
            f"{file}: column target: {count} of {len(ids)} samples of split {split} have no class, {name!r} for one; "
            "a split has all its labels or none, so give the labelled samples a split of their own"
        )


def content_digest(rows: Rows) -> str:
    """Return the SHA-256 of ids, targets and logits in their order, whatever file they came in."""
    texts = [str(name).encode() for name in rows.ids]
    digest = hashlib.sha256(np.array([len(text) for text in texts], dtype="<i8").tobytes())
    digest.update(b"".join(texts))
    digest.update(rows.targets.astype("<i8").tobytes())
    digest.update(np.array(rows.logits.shape, dtype="<i8").tobytes())
    # Zeros of both signs are the same number.
    digest.update((rows.logits + np.float32(0)).astype("<f4").tobytes())
    return digest.hexdigest()


def write_rows(staging: Path, job: JobDescription, splits: Mapping[str, Rows]) -> None:
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
