"""Samples from TFRecord shards: files such as ``train03-3000.tfrec``, named by the number of the shard and its size.

A record is an Example with an image (PNG or JPEG), a name and a class. TensorFlow is not needed.

All files are read once to learn what is in them, with every checksum checked. Images are decoded when a batch needs
them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.decoded_copies import files_identity
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.images import ImageDecoder, Mode
from seedfold.trainers.data.samples import UNKNOWN, Indices, Reads, Samples, check_samples, require_data_path
from seedfold.trainers.data.tfrecord_example import FeatureValue, parse_example
from seedfold.trainers.data.tfrecord_framing import Record, read_records

_FILE_NAME = re.compile(r"(\D*)(\d+)-(\d+)\.tfrec(ord)?")


@dataclass(frozen=True, slots=True)
class _RecordEntry:
    """One sample: where its record is, and the values in it."""

    path: Path
    number: int
    offset: int
    length: int
    id: str
    target: int
    group: str | None
    shard: int


@dataclass(frozen=True)
class TFRecords:
    """Read images of ``size`` (height, width) from the files of the folder ``path`` whose names fit ``pattern``.

    ``id``, ``image``, ``target`` and ``group`` name features; without ``target`` classes are unknown, as in a test
    set. An image of another size is resized if ``resize``, else it is a DataFailure. ``num_workers`` threads decode.
    """

    path: str
    size: Sequence[int]
    classes: int
    pattern: str = "train*.tfrec"
    id: str = "image_id"
    image: str = "image"
    target: str | None = "target"
    group: str | None = None
    mode: Mode = "RGB"
    resize: bool = False
    num_workers: int = 1

    @cached_property
    def decoder(self) -> ImageDecoder:
        """Return the decoder, which turns the bytes of an image into pixels."""
        return ImageDecoder((int(self.size[0]), int(self.size[1])), self.mode, self.resize)

    def load(self, reads: Reads) -> Samples:
        """Read the records; raises DataFailure naming the file and the record that is not valid."""
        folder = require_data_path(self.path)
        entries = [
            entry for path, shard in self._find_files(folder) for entry in self._read_entries(path, shard, reads)
        ]
        inputs = FileInputs(
            lambda row, into: self._decode_into(entries[row], into),
            self.decoder.shape, np.uint8, np.arange(len(entries), dtype=np.int64), self.num_workers,
            lambda: files_identity([*{entry.path: None for entry in entries}], [self.decoder, self.image]),
        )  # fmt: skip
        groups = None if self.group is None else np.array([entry.group for entry in entries])
        samples = Samples(
            tuple(entry.id for entry in entries),
            inputs,
            _collect_numbers(entries, "target"),
            groups,
            shards=_collect_numbers(entries, "shard"),
        )
        return check_samples(samples, f"{folder}/{self.pattern}", self.classes, labelled=self.target is not None)

    def _find_files(self, folder: Path) -> Iterator[tuple[Path, int]]:
        found: dict[int, Path] = {}
        for path in sorted(path for path in folder.iterdir() if fnmatch(path.name, self.pattern)):
            match = _FILE_NAME.fullmatch(path.name)
            if match is None:
                raise DataFailure(
                    f"{path}: its name does not end in NUMBER-COUNT.tfrec; rename it, or see source.pattern"
                )
            other = found.setdefault(int(match[2]), path)
            if other != path:
                raise DataFailure(f"{other} and {path.name} are both number {int(match[2])}")
        if not found:
            raise DataFailure(f"{folder}: no file is called {self.pattern}")
        return ((path, shard) for shard, path in sorted(found.items()))

    def _read_entries(self, path: Path, shard: int, reads: Reads) -> list[_RecordEntry]:
        reads(path)
        entries = [self._make_entry(path, record, shard) for record in read_records(path)]
        match = _FILE_NAME.fullmatch(path.name)
        assert match is not None
        if len(entries) != int(match[3]):
            raise DataFailure(f"{path}: has {len(entries)} records, its name says {int(match[3])}; it is not whole")
        return entries

    def _make_entry(self, path: Path, record: Record, shard: int) -> _RecordEntry:
        where = f"{path}: record {record.number}"
        features = _parse_features(record.content, where)
        _only_value(features, self.image, where)
        target = UNKNOWN if self.target is None else _only_value(features, self.target, where)
        if not isinstance(target, int):
            raise DataFailure(f"{where}: its {self.target} is {target!r}, which is not a whole number")
        group = None if self.group is None else _to_text(_only_value(features, self.group, where))
        name = _to_text(_only_value(features, self.id, where))
        return _RecordEntry(path, record.number, record.offset, len(record.content), name, target, group, shard)

    def _decode_into(self, entry: _RecordEntry, into: NDArray[Any]) -> None:
        where = f"{entry.path}: record {entry.number} ({entry.id})"
        image = _only_value(_parse_features(_read_content(entry), where), self.image, where)
        if not isinstance(image, bytes):
            raise DataFailure(f"{where}: its {self.image} is not bytes")
        into[:] = self.decoder.decode(where, image)


def _read_content(entry: _RecordEntry) -> bytes:
    try:
        with entry.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), entry.length, entry.offset)
    except OSError as error:
        raise DataFailure(f"{entry.path}: record {entry.number} cannot be read: {error.strerror}") from error


def _parse_features(content: bytes, where: str) -> dict[str, list[FeatureValue]]:
    try:
        return parse_example(content)
    except (ValueError, TypeError) as error:
        raise DataFailure(f"{where} is not an Example: {error}") from error


def _only_value(features: dict[str, list[FeatureValue]], name: str, where: str) -> FeatureValue:
    values = features.get(name, [])
    if len(values) != 1:
        known = ", ".join(sorted(features)) or "none"
        raise DataFailure(f"{where} has {len(values)} values of {name!r}, exactly one is needed; its features: {known}")
    return values[0]


def _to_text(value: FeatureValue) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _collect_numbers(entries: Sequence[_RecordEntry], field: str) -> Indices:
    return np.fromiter((getattr(entry, field) for entry in entries), dtype=np.int64, count=len(entries))
