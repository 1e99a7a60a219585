"""What two Seedfolds say to each other over a pair of streams: messages, each a line of JSON, and blocks of bytes.

Lines that are no message are passed over: on some machines the files that a shell reads first print something.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

_MESSAGE_MARK = b"seedfold> "
_CHUNK_BYTES = 1 << 18


class BrokenWireError(Exception):
    """The other side went away in the middle of it."""


class Wire:
    """One end of the connection."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer

    def send_message(self, **message: Any) -> None:
        """Send a message. Raises BrokenWireError if nobody is there."""
        self.send_bytes(_MESSAGE_MARK + json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self.flush()

    def receive_message(self) -> dict[str, Any]:
        """Wait for the next message. Raises BrokenWireError if there comes none."""
        while line := self._reader.readline():
            if line.startswith(_MESSAGE_MARK) and line.endswith(b"\n"):
                message: dict[str, Any] = json.loads(line[len(_MESSAGE_MARK) :])
                return message
        raise BrokenWireError

    def send_bytes(self, data: bytes) -> None:
        """Send a piece of a block whose size was told before."""
        try:
            self._writer.write(data)
        except BrokenPipeError:
            raise BrokenWireError from None

    def flush(self) -> None:
        """Send what was collected."""
        try:
            self._writer.flush()
        except BrokenPipeError:
            raise BrokenWireError from None

    def receive_bytes(self, size: int) -> Iterator[bytes]:
        """Yield a block of that size in pieces. Raises BrokenWireError if it ends before."""
        while size:
            chunk = self._reader.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise BrokenWireError
            size -= len(chunk)
            yield chunk
