"""The protocol between two Seedfold processes over a pair of streams: messages, as lines of JSON, and blocks of bytes.

Lines that are not messages are skipped, because on some machines the start-up files of the shell print text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

_MESSAGE_MARK = b"seedfold> "
_CHUNK_BYTES = 1 << 18


class BrokenWireError(Exception):
    """The other side closed the connection too early."""


class Wire:
    """One end of the connection."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer

    def send_message(self, **message: Any) -> None:
        """Send a message. Raises BrokenWireError if the other side is gone."""
        self.send_bytes(_MESSAGE_MARK + json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self.flush()

    def receive_message(self) -> dict[str, Any]:
        """Wait for the next message. Raises BrokenWireError if none comes."""
        while line := self._reader.readline():
            if line.startswith(_MESSAGE_MARK) and line.endswith(b"\n"):
                message: dict[str, Any] = json.loads(line[len(_MESSAGE_MARK) :])
                return message
        raise BrokenWireError

    def send_bytes(self, data: bytes) -> None:
        """Send a piece of a block whose size was sent before."""
        try:
            self._writer.write(data)
        except BrokenPipeError:
            raise BrokenWireError from None

    def flush(self) -> None:
        """Send what is in the buffer."""
        try:
            self._writer.flush()
        except BrokenPipeError:
            raise BrokenWireError from None

    def receive_bytes(self, size: int) -> Iterator[bytes]:
        """Yield a block of that size in pieces. Raises BrokenWireError if the stream ends too early."""
        while size:
            chunk = self._reader.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise BrokenWireError
            size -= len(chunk)
            yield chunk
