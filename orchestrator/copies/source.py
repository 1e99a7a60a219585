"""A study to copy: in a folder of this machine, or behind a wire."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.copies.contents import Contents, Entry
from seedfold.orchestrator.ledger.copy_origin import home_of
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.login.wire import Wire
from seedfold.orchestrator.state.overview import Overview

_PIECE = 1 << 18
Wanted = Sequence[tuple[int, int]]
"""Numbers of entries, each with the byte from which on it is wanted."""
Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Listing:
    """A study as it was at a ``time`` of its own clock, under the ``root`` it lives in.

    ``homes`` are other studies there that have done jobs of it.
    """

    root: str
    time: float
    entries: tuple[Entry, ...] = field(repr=False)
    homes: tuple[str, ...] = ()


class Source(Protocol):
    """Where studies are copied from."""

    def look(self, study: str, checkpoints: bool) -> Listing:
        """List a study. Raises UsageError if there is none, or if it is a copy itself."""

    def read(self, wanted: Wanted) -> Iterator[tuple[Entry, Pieces | None]]:
        """Yield files of the last listing as they are by now, each with its content; without one if it has gone.

        What grows is given as far as it was listed, so that files agree. Each has to be read before the next.
        """


class Folder:
    """A root on this machine."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def look(self, study: str, checkpoints: bool) -> Listing:
        """List a study."""
        folder = self._root.existing(study)
        home = home_of(folder)
        if home is not None:
            raise UsageError(f"{folder.path} is a copy itself; fetch from {home.source}")
        now = time.time()
        self._folder, self._entries = folder, tuple(Contents(folder, checkpoints).entries())
        return Listing(str(self._root.path), now, self._entries, self._homes(study))

    def _homes(self, study: str) -> tuple[str, ...]:
        views = Overview(self._root, study).places()
        return tuple(sorted({view.standing.home.name for view in views} - {self._folder.name}))

    def read(self, wanted: Wanted) -> Iterator[tuple[Entry, Pieces | None]]:
        """Yield files."""
        for number, begin in wanted:
            yield self._open(self._entries[number], begin)

    def _open(self, entry: Entry, begin: int) -> tuple[Entry, Pieces | None]:
        try:
            file = (self._folder.path / entry.name).open("rb")
        except FileNotFoundError:
            return entry, None
        status = os.fstat(file.fileno())
        if not entry.grows:
            # It may have been replaced since it was listed; the one that is open stays whole.
            entry = entry._replace(size=status.st_size, mtime_ns=status.st_mtime_ns)
        return entry, _read(file, begin, entry.size - begin)


def _read(file: BinaryIO, begin: int, size: int) -> Pieces:
    """Yield so many bytes. Raises UnreachableError if there are fewer: somebody has cut the file."""
    with file:
        file.seek(begin)
        while size:
            piece = file.read(min(size, _PIECE))
            if not piece:
                raise UnreachableError(f"{file.name}: was cut while it was read; fetch again")
            size -= len(piece)
            yield piece


class Remote:
    """A root behind a wire, at whose other end `serve` is called."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def look(self, study: str, checkpoints: bool) -> Listing:
        """List a study."""
        self._wire.tell(look=study, checkpoints=checkpoints)
        told = self._wire.hear()
        self._entries = tuple(Entry(*entry) for entry in told["entries"])
        return Listing(told["root"], told["time"], self._entries, tuple(told["homes"]))

    def read(self, wanted: Wanted) -> Iterator[tuple[Entry, Pieces | None]]:
        """Yield files."""
        self._wire.tell(read=list(wanted))
        for number, begin in wanted:
            told = self._wire.hear()["entry"]
            if told is None:
                yield self._entries[number], None
            else:
                entry = Entry(*told)
                yield entry, self._wire.block(entry.size - begin)


def serve(source: Folder, wire: Wire) -> None:
    """Answer a `Remote` until it goes away."""
    while True:
        asked = wire.hear()
        if "look" in asked:
            found = source.look(asked["look"], asked["checkpoints"])
            wire.tell(root=found.root, time=found.time, homes=found.homes, entries=found.entries)
            continue
        for entry, pieces in source.read([(number, begin) for number, begin in asked["read"]]):
            wire.tell(entry=None if pieces is None else entry)
            for piece in pieces or ():
                wire.send(piece)
        wire.flush()
