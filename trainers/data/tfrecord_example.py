"""Reads a TFRecord of one sample, a protocol buffer of TensorFlow's type ``Example``, without TensorFlow.

An Example holds Features (field 1), which holds entries of a map (field 1) of name (1) and Feature (2). A Feature is a
list of bytes (1), floats (2) or whole numbers (3); the list's field 1 holds the values, one by one or packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

FeatureValue = bytes | float | int
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def parse_example(content: bytes) -> dict[str, list[FeatureValue]]:
    """Return the values of each feature; raises ValueError for bytes that are not an Example."""
    features: dict[str, list[FeatureValue]] = {}
    for _, entries in _submessages(memoryview(content), 1):
        for _, entry in _submessages(entries, 1):
            parts = dict(_submessages(entry, 1, 2))
            features[str(parts.get(1, memoryview(b"")), "utf-8")] = _feature_values(parts.get(2, memoryview(b"")))
    return features


def serialize_example(features: Mapping[str, bytes | int]) -> bytes:
    """Return an Example with one value per feature: bytes, or a whole number that is not negative."""
    entries = b""
    for name, value in features.items():
        listed = (
            _field_bytes(1, _field_bytes(1, value))
            if isinstance(value, bytes)
            else _field_bytes(3, _key_bytes(1, _VARINT) + _varint_bytes(value))
        )
        entries += _field_bytes(1, _field_bytes(1, name.encode()) + _field_bytes(2, listed))
    return _field_bytes(1, entries)


def _feature_values(feature: memoryview) -> list[FeatureValue]:
    values: list[FeatureValue] = []
    for kind, listed in _submessages(feature, 1, 2, 3):
        for number, wire, content in _parse_fields(listed):
            if number == 1:
                values += _parse_values(kind, wire, content)
    return values


def _parse_values(kind: int, wire: int, content: memoryview | int) -> Iterator[FeatureValue]:
    if kind == 1 and isinstance(content, memoryview):
        yield bytes(content)
    elif kind == 2 and isinstance(content, memoryview) and len(content) % 4 == 0:
        yield from (value for (value,) in struct.iter_unpack("<f", content))
    elif kind == 3 and isinstance(content, memoryview):
        position = 0
        while position < len(content):
            value, position = _parse_varint(content, position)
            yield _to_signed(value)
    elif kind == 3 and isinstance(content, int):
        yield _to_signed(content)
    else:
        raise ValueError(f"a list of kind {kind} with values of wire type {wire}")


def _submessages(message: memoryview, *numbers: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of those fields of a message that hold bytes and are among ``numbers``."""
    for number, _, content in _parse_fields(message):
        if number in numbers and isinstance(content, memoryview):
            yield number, content


def _parse_fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Yield number, wire type and content of each field: a whole number for a varint, else bytes."""
    position = 0
    while position < len(message):
        key, position = _parse_varint(message, position)
        wire = key & 7
        if wire == _VARINT:
            value, position = _parse_varint(message, position)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            length, position = _parse_varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"a field of wire type {wire}")
        if position + length > len(message):
            raise ValueError("a field that is longer than its message")
        yield key >> 3, wire, message[position : position + length]
        position += length


def _parse_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("a number that does not end")


def _to_signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _key_bytes(number: int, wire: int) -> bytes:
    return _varint_bytes(number << 3 | wire)


def _field_bytes(number: int, content: bytes) -> bytes:
    return _key_bytes(number, _BYTES) + _varint_bytes(len(content)) + content


def _varint_bytes(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
