"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), which TFRecord files carry, over whole arrays at once.

A checksum is linear: that of a long message is put together from those of its parts. So all parts of 64 bytes advance
side by side, two bytes at a time, and then pairs of neighbours are joined, until one is left.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_PART = 64
_ONES = np.uint32(0xFFFFFFFF)
_MASK = 0xA282EAD8
Words = NDArray[np.uint32]


def crc32c(content: bytes) -> int:
    """Return the checksum of ``content``."""
    if len(content) < _PART:
        return _bytewise(content)
    columns = _columns(content)
    states = np.zeros(columns.shape[1], dtype=np.uint32)
    table = _advance_two_bytes()
    for column in columns:
        states = (states >> np.uint32(16)) ^ table[states.astype(np.uint16) ^ column]
    length = _PART
    while len(states) > 1:
        states = _apply(_zeros(length), states[0::2]) ^ states[1::2]
        length *= 2
    return int(states[0] ^ _ONES)


def masked(checksum: int) -> int:
    """Return a checksum as TFRecord files store it, turned by 15 bits and moved by a constant."""
    turned = ((checksum >> 15) | (checksum << 17)) & 0xFFFFFFFF
    return (turned + _MASK) & 0xFFFFFFFF


def _columns(content: bytes) -> NDArray[np.uint16]:
    """The message as 32 rows of numbers of 16 bits, each column a part; zeros in front of the first change nothing.

    To begin with all ones is to turn the first four bytes around.
    """
    count = 1 << max(0, (-(-len(content) // _PART) - 1).bit_length())
    message = np.zeros(count * _PART, dtype=np.uint8)
    message[-len(content) :] = np.frombuffer(content, dtype=np.uint8)
    start = len(message) - len(content)
    message[start : start + 4] ^= np.uint8(0xFF)
    return np.ascontiguousarray(message.view("<u2").reshape(count, -1).T)


def _bytewise(content: bytes) -> int:
    state, table = 0xFFFFFFFF, _advance_a_byte()
    for byte in content:
        state = (state >> 8) ^ table[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF


def _bits(state: np.uint32 | Words, count: int) -> np.uint32 | Words:
    """Advance by ``count`` zero bits."""
    for _ in range(count):
        state = (state >> np.uint32(1)) ^ (np.uint32(_POLYNOMIAL) * (state & np.uint32(1)))
    return state


@cache
def _advance_a_byte() -> list[int]:
    return [int(state) for state in np.asarray(_bits(np.arange(256, dtype=np.uint32), 8))]


@cache
def _advance_two_bytes() -> Words:
    return np.asarray(_bits(np.arange(1 << 16, dtype=np.uint32), 16), dtype=np.uint32)


@cache
def _zeros(length: int) -> Words:
    """What each value of each of the four bytes becomes over ``length`` zero bytes, a power of two times 64."""
    values = np.arange(256, dtype=np.uint32)[None] << np.array([[0], [8], [16], [24]], dtype=np.uint32)
    if length == _PART:
        return np.asarray(_bits(values, 8 * _PART), dtype=np.uint32)
    half = _zeros(length // 2)
    return _apply(half, _apply(half, values))


def _apply(table: Words, states: Words) -> Words:
    """Map states by a linear map that is given by what becomes of each byte."""
    first, second, third, fourth = (states >> np.uint32(shift) & np.uint32(0xFF) for shift in (0, 8, 16, 24))
    return np.asarray(table[0, first] ^ table[1, second] ^ table[2, third] ^ table[3, fourth], dtype=np.uint32)
