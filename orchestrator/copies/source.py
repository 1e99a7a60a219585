"""The source of a copy: a study in a folder of this machine, or on another machine behind a wire."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.copies.contents import FileEntry, StudyContents
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.file_system_clock import file_system_time
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.login.stream_protocol import Wire
from seedfold.orchestrator.state.overview import Overview

_CHUNK_BYTES = 1 << 18
WantedBytes = Sequence[tuple[int, int]]
"""Numbers of entries, each with the first byte to send."""
ByteChunks = Iterator[bytes]


@dataclass(frozen=True)
class Listing:
    """The list of a study's files at a ``time`` of its own clock, under its ``root``.

    ``other_studies`` are the studies of that root that have done jobs of it.
    """

    root: str
    time: float
    entries: tuple[FileEntry, ...] = field(repr=False)
    other_studies: tuple[str, ...] = ()


class StudySource(Protocol):
    """A root from which studies are copied."""

    def list_study(self, study: str, with_checkpoints: bool) -> Listing:
        """List the files of a study. Raises UsageError if it does not exist, or if it is a copy itself."""

    def read_files(self, wanted: WantedBytes) -> Iterator[tuple[FileEntry, ByteChunks | None]]:
        """Yield files of the last listing as they are now, each with its content, or without content if it was deleted.

        A growing file is sent up to its listed size, so that files are consistent. Read each file before the next.
        """


class LocalSource:
    """A root on this machine."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def list_study(self, study: str, with_checkpoints: bool) -> Listing:
        """List a study."""
        folder = self._root.existing_study(study)
        origin = read_copy_origin(folder)
        if origin is not None:
            raise UsageError(f"{folder.path} is itself a copy; fetch from {origin.source}")
        now = file_system_time(folder)
        self._folder, self._entries = folder, tuple(StudyContents(folder, with_checkpoints).list_entries())
        return Listing(str(self._root.path), now, self._entries, self._other_studies(study))

    def _other_studies(self, study: str) -> tuple[str, ...]:
        views = Overview(self._root, study, with_removed=True).job_views()
        return tuple(sorted({view.job_state.holding_study.name for view in views} - {self._folder.name}))

    def read_files(self, wanted: WantedBytes) -> Iterator[tuple[FileEntry, ByteChunks | None]]:
        """Yield files."""
        for number, first_byte in wanted:
            yield self._open_entry(self._entries[number], first_byte)

    def _open_entry(self, entry: FileEntry, first_byte: int) -> tuple[FileEntry, ByteChunks | None]:
        try:
            file = (self._folder.path / entry.name).open("rb")
        except FileNotFoundError:
            return entry, None
        status = os.fstat(file.fileno())
        if not entry.append_only:
            # The file may have been replaced since it was listed. The open one stays complete.
            entry = entry._replace(size=status.st_size, mtime_ns=status.st_mtime_ns)
        return entry, _read_chunks(file, first_byte, entry.size - first_byte)


def _read_chunks(file: BinaryIO, first_byte: int, size: int) -> ByteChunks:
    """Yield so many bytes. Raises UnreachableError if there are fewer, because the file was shortened."""
    with file:
        file.seek(first_byte)
        while size:
            chunk = file.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise UnreachableError(f"{file.name}: became shorter while it was read; fetch again")
            size -= len(chunk)
            yield chunk


class RemoteSource:
    """A root on the other end of a wire, where `serve_source` runs."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list_study(self, study: str, with_checkpoints: bool) -> Listing:
        """List a study."""
        self._wire.send_message(look=study, checkpoints=with_checkpoints)
        reply = self._wire.receive_message()
        self._entries = tuple(FileEntry(*entry) for entry in reply["entries"])
        return Listing(reply["root"], reply["time"], self._entries, tuple(reply["homes"]))

    def read_files(self, wanted: WantedBytes) -> Iterator[tuple[FileEntry, ByteChunks | None]]:
        """Yield files."""
        self._wire.send_message(read=list(wanted))
        for number, first_byte in wanted:
            entry_reply = self._wire.receive_message()["entry"]
            if entry_reply is None:
                yield self._entries[number], None
            else:
                entry = FileEntry(*entry_reply)
                yield entry, self._wire.receive_bytes(entry.size - first_byte)


def serve_source(source: LocalSource, wire: Wire) -> None:
    """Serve the requests of a `RemoteSource` until it closes the wire."""
    while True:
        request = wire.receive_message()
        if "look" in request:
            listing = source.list_study(request["look"], request["checkpoints"])
            wire.send_message(
                root=listing.root, time=listing.time, homes=listing.other_studies, entries=listing.entries
            )
            continue
        for entry, chunks in source.read_files([(number, first_byte) for number, first_byte in request["read"]]):
            wire.send_message(entry=None if chunks is None else entry)
            for chunk in chunks or ():
                wire.send_bytes(chunk)
        wire.flush()
