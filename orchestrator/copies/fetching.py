"""Updates a copy of a study: only new data is transferred, each file completely or not at all. It may be repeated.

A result that was deleted at the copy origin stays in the copy, because scratch file systems are cleared and the copy
may be the last one. Files that say which workers are alive are deleted when they are deleted at the origin.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.orchestrator.copies.contents import FileEntry
from seedfold.orchestrator.copies.source import ByteChunks, Listing, StudySource
from seedfold.orchestrator.ledger.copy_origin import CopyOrigin, read_copy_origin
from seedfold.orchestrator.ledger.layout import Root, StudyFolder

_MAX_TRIES = 5
_TEMPORARY_FILE_AGE_S = 3600.0
_EVENTS = "events/"
_WORKER_FOLDERS = ("claims/", "submissions/")
ShowProgress = Callable[[int, int], None]
"""Called with the number of bytes received, and the number expected."""


@dataclass
class FetchResult:
    """What a fetch transferred: the number of files by study, and bytes."""

    files: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


def fetch(
    source: StudySource, host: str, study: str, root: Root, with_checkpoints: bool, show: ShowProgress
) -> FetchResult:
    """Update the copy of a study under ``root``, and copies of the studies that have done jobs of it.

    ``host`` is the host of the source, or empty for a folder of this machine. Raises UsageError if ``root`` has a study
    of that name itself, or a copy of another one; UnreachableError if files change faster than they can be read.
    """
    result, waiting = FetchResult(), [study]
    while waiting:
        name = waiting.pop()
        result.files[name] = 0
        other_studies = _fetch_study(_Copy(root.study_folder(name), host, show), source, with_checkpoints, result)
        waiting += [other for other in other_studies if other not in result.files]
    return result


def _fetch_study(copy: _Copy, source: StudySource, with_checkpoints: bool, result: FetchResult) -> tuple[str, ...]:
    """Fetch one study; if files were deleted or changed while they were read, list and fetch again."""
    for _ in range(_MAX_TRIES):
        listing = source.list_study(copy.study.name, with_checkpoints)
        copy.mark_as_copy(listing)
        files, size, is_complete = copy.fetch_files(listing, source)
        result.files[copy.study.name] += files
        result.bytes += size
        if is_complete:
            copy.finish(listing)
            return listing.other_studies
    raise UnreachableError(f"{copy.study.name}: its files change faster than they can be fetched; fetch again later")


@dataclass
class _Copy:
    """The copy of one study."""

    study: StudyFolder
    host: str
    show: ShowProgress

    def mark_as_copy(self, listing: Listing) -> None:
        """Make the folder a copy before anything else is in it."""
        source = self._source_text(listing)
        origin = read_copy_origin(self.study)
        if origin is None and self.study.plans_folder.exists():
            raise UsageError(f"{self.study.path}: there is a study in this folder; fetch into another root with --root")
        if origin is not None and origin.source != source:
            raise UsageError(f"{self.study.path}: a copy of {origin.source}; fetch into another root with --root")
        self._refuse_another_study(listing.entries)
        if origin is None:
            Root(self.study.path.parent).mark_as_root()
            CopyOrigin(source).write(self.study)

    def _source_text(self, listing: Listing) -> str:
        return f"{self.host}:{listing.root}" if self.host else listing.root

    def _refuse_another_study(self, entries: Iterable[FileEntry]) -> None:
        """Raise UsageError if the source is a new study of the same name: it has no plan in common with the copy."""
        own = {f"plans/{file.name}" for file in self.study.plans_folder.glob("*.jsonl")}
        if own and own.isdisjoint(entry.name for entry in entries):
            raise UsageError(
                f"{self.study.path}: this is a copy of an earlier study of that name;"
                " move it to another folder, then fetch again"
            )

    def finish(self, listing: Listing) -> None:
        """Delete files on active workers that are gone at the origin; record the time for which the copy is valid."""
        listed_names = {entry.name for entry in listing.entries}
        for top in _WORKER_FOLDERS:
            for file in [one for one in (self.study.path / top).rglob("*") if one.is_file()]:
                if file.relative_to(self.study.path).as_posix() not in listed_names:
                    file.unlink(missing_ok=True)
        self._remove_temporary_files()
        CopyOrigin(self._source_text(listing), listing.time).write(self.study)

    def _remove_temporary_files(self) -> None:
        """Delete temporary files that killed fetches left behind, but not those that another fetch is writing now."""
        for file in self.study.path.rglob(".*"):
            with suppress(FileNotFoundError):
                if file.is_file() and time.time() - file.stat().st_ctime > _TEMPORARY_FILE_AGE_S:
                    file.unlink()

    def fetch_files(self, listing: Listing, source: StudySource) -> tuple[int, int, bool]:
        """Fetch files that are new or have grown; return their number, their bytes, and whether all listed files came.

        If a file was deleted meanwhile, no events are fetched, because they may refer to it.
        """
        wanted_files = list(self._wanted_entries(listing.entries).items())
        total = sum(listing.entries[number].size - first_byte for number, first_byte in wanted_files)
        files, size, is_complete = 0, 0, True
        for (_, begin), (entry, chunks) in zip(wanted_files, source.read_files(wanted_files), strict=True):
            is_complete = is_complete and chunks is not None
            if chunks is None or (entry.name.startswith(_EVENTS) and not is_complete):
                _read_to_end(chunks)
                continue
            self._write_file(entry, begin, chunks)
            files, size = files + 1, size + entry.size - begin
            self.show(size, total)
        return files, size, is_complete

    def _wanted_entries(self, entries: Iterable[FileEntry]) -> Mapping[int, int]:
        """The numbers of the entries to fetch, each with the first new byte."""
        first_bytes = {}
        for number, entry in enumerate(entries):
            first_byte = self._first_wanted_byte(entry)
            if first_byte is not None:
                first_bytes[number] = first_byte
        return first_bytes

    def _first_wanted_byte(self, entry: FileEntry) -> int | None:
        """The first byte of a file that is missing in the copy; None if it has all.

        Raises UsageError for a name outside of it.
        """
        if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:
            raise UsageError(f"{entry.name}: this path is outside of the study's folder")
        try:
            status = (self.study.path / entry.name).stat()
        except FileNotFoundError:
            return 0
        if entry.append_only and status.st_size <= entry.size:
            return None if status.st_size == entry.size else status.st_size
        is_same = (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
        return None if is_same else 0

    def _write_file(self, entry: FileEntry, first_byte: int, chunks: ByteChunks) -> None:
        """Write a complete file to its place, with its modification time, by which the next fetch recognises it."""
        path = self.study.path / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        try:
            with temporary.open("xb") as file:
                if first_byte:
                    _copy_start(path, file)
                for piece in chunks:
                    file.write(piece)
            os.utime(temporary, ns=(entry.mtime_ns, entry.mtime_ns))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _read_to_end(chunks: ByteChunks | None) -> None:
    for _ in chunks or ():
        pass


def _copy_start(path: Path, file: IO[bytes]) -> None:
    with path.open("rb") as previous:
        shutil.copyfileobj(previous, file)
