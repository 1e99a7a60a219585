"""Bringing a copy up to date: only what is new moves, each file whole or not at all, repeated it comes to the same.

A result that has gone at home stays in the copy: file systems for scratch are cleared, and a copy may be the last. What
says who is at work goes with what it is a copy of.
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
"""Called with the bytes that have come and those that were to come."""


@dataclass
class FetchResult:
    """What a fetch moved: files and bytes, by study."""

    files: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


def fetch(
    source: StudySource, host: str, study: str, root: Root, with_checkpoints: bool, show: ShowProgress
) -> FetchResult:
    """Bring the copy of a study under ``root`` up to date, and of those that have done jobs of it.

    ``host`` says where the source is: a host, or nothing for a folder of this machine. Raises UsageError where a study
    lives under ``root``, or a copy of another one; UnreachableError if files change faster than they come.
    """
    result, waiting = FetchResult(), [study]
    while waiting:
        name = waiting.pop()
        result.files[name] = 0
        other_studies = _fetch_study(_Copy(root.study_folder(name), host, show), source, with_checkpoints, result)
        waiting += [other for other in other_studies if other not in result.files]
    return result


def _fetch_study(copy: _Copy, source: StudySource, with_checkpoints: bool, result: FetchResult) -> tuple[str, ...]:
    """Bring one study; where files went or changed while they were read, look again."""
    for _ in range(_MAX_TRIES):
        listing = source.list_study(copy.study.name, with_checkpoints)
        copy.mark_as_copy(listing)
        files, size, is_complete = copy.fetch_files(listing, source)
        result.files[copy.study.name] += files
        result.bytes += size
        if is_complete:
            copy.finish(listing)
            return listing.other_studies
    raise UnreachableError(f"{copy.study.name}: its files change faster than they come; fetch again later")


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
            raise UsageError(f"{self.study.path}: a study lives here; fetch into another folder with --root")
        if origin is not None and origin.source != source:
            raise UsageError(f"{self.study.path}: a copy of {origin.source}; fetch into another folder with --root")
        self._refuse_another_study(listing.entries)
        if origin is None:
            Root(self.study.path.parent).mark_as_root()
            CopyOrigin(source).write(self.study)

    def _source_text(self, listing: Listing) -> str:
        return f"{self.host}:{listing.root}" if self.host else listing.root

    def _refuse_another_study(self, entries: Iterable[FileEntry]) -> None:
        """A study of the same name that was begun anew shares no plan with the copy."""
        own = {f"plans/{file.name}" for file in self.study.plans_folder.glob("*.jsonl")}
        if own and own.isdisjoint(entry.name for entry in entries):
            raise UsageError(f"{self.study.path}: the study was begun anew at its home; move this copy away")

    def finish(self, listing: Listing) -> None:
        """Take away what says who is at work and does not hold any more; say as of when the copy is."""
        listed_names = {entry.name for entry in listing.entries}
        for top in _WORKER_FOLDERS:
            for file in [one for one in (self.study.path / top).rglob("*") if one.is_file()]:
                if file.relative_to(self.study.path).as_posix() not in listed_names:
                    file.unlink(missing_ok=True)
        self._remove_temporary_files()
        CopyOrigin(self._source_text(listing), listing.time).write(self.study)

    def _remove_temporary_files(self) -> None:
        """What fetches that were killed left behind; not what one writes at this moment."""
        for file in self.study.path.rglob(".*"):
            with suppress(FileNotFoundError):
                if file.is_file() and time.time() - file.stat().st_ctime > _TEMPORARY_FILE_AGE_S:
                    file.unlink()

    def fetch_files(self, listing: Listing, source: StudySource) -> tuple[int, int, bool]:
        """Have files come that are new or grew; return how many, of how many bytes, and whether all that were listed.

        Where one has gone meanwhile, no event comes: it may tell of that one.
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
        """The numbers of the entries to have, each with the byte from which on it is new."""
        first_bytes = {}
        for number, entry in enumerate(entries):
            first_byte = self._first_wanted_byte(entry)
            if first_byte is not None:
                first_bytes[number] = first_byte
        return first_bytes

    def _first_wanted_byte(self, entry: FileEntry) -> int | None:
        """How much of a file is there; None for all of it. Raises UsageError for a name that leads elsewhere."""
        if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:
            raise UsageError(f"{entry.name}: leads out of the study's folder")
        try:
            status = (self.study.path / entry.name).stat()
        except FileNotFoundError:
            return 0
        if entry.append_only and status.st_size <= entry.size:
            return None if status.st_size == entry.size else status.st_size
        is_same = (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
        return None if is_same else 0

    def _write_file(self, entry: FileEntry, first_byte: int, chunks: ByteChunks) -> None:
        """Put a file in its place whole, with the time of its last change, by which it is known again."""
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
