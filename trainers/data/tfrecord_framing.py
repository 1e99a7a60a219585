"""The framing of a TFRecord file: length (8 bytes), its checksum (4), content, its checksum (4); little-endian.

Checksums are CRC-32C, masked (TensorFlow, ``tensorflow/core/lib/io/record_writer.h``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from seedfold.jobs.work import DataFailure

_HEADER, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
_MASK = 0xA282EAD8


@dataclass(frozen=True, slots=True)
class Record:
    """The content of record ``number`` (from 1) of a file, and where in the file it begins."""

    number: int
    offset: int
    content: bytes


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in order; raises DataFailure naming the record that is damaged or cut short."""
    try:
        with path.open("rb") as file:
            yield from _iterate_records(file, path)
    except OSError as error:
        raise DataFailure(f"{path}: cannot be read: {error.strerror}") from error


def _iterate_records(file: BinaryIO, path: Path) -> Iterator[Record]:
    size, number = path.stat().st_size, 1
    while header := file.read(_HEADER.size):
        offset = file.tell()
        if len(header) < _HEADER.size:
            raise DataFailure(f"{path}: is cut short in record {number}")
        length, checksum = _HEADER.unpack(header)
        if _masked_checksum(header[:8]) != checksum:
            raise DataFailure(f"{path}: record {number} has a length that is damaged; is it a TFRecord file?")
        if offset + length + _CHECKSUM.size > size:
            raise DataFailure(f"{path}: is cut short in record {number}")
        content, (checksum,) = file.read(length), _CHECKSUM.unpack(file.read(_CHECKSUM.size))
        if _masked_checksum(content) != checksum:
            raise DataFailure(f"{path}: record {number} is damaged: its checksum does not match")
        yield Record(number, offset, content)
        number += 1


def write_records(path: Path, contents: Iterable[bytes]) -> None:
    """Write records to a new file."""
    with path.open("xb") as file:
        for content in contents:
            length = len(content).to_bytes(8, "little")
            file.write(length + _CHECKSUM.pack(_masked_checksum(length)))
            file.write(content + _CHECKSUM.pack(_masked_checksum(content)))


def _masked_checksum(content: bytes) -> int:
    """Return the checksum of ``content`` as these files store it: rotated by 15 bits, plus a constant."""
    checksum: int = google_crc32c.value(content)
    turned = ((checksum >> 15) | (checksum << 17)) & 0xFFFFFFFF
    return (turned + _MASK) & 0xFFFFFFFF
