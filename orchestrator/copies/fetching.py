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
from seedfold.orchestrator.copies.contents import Entry
from seedfold.orchestrator.copies.source import Listing, Pieces, Source
from seedfold.orchestrator.ledger.copy_origin import Home, home_of
from seedfold.orchestrator.ledger.layout import Root, StudyFolder

_TIMES = 5
_UNFINISHED_S = 3600.0
_EVENTS = "events/"
_TIED = ("claims/", "submissions/")
Show = Callable[[int, int], None]
"""Called with the bytes that have come and those that were to come."""


@dataclass
class Fetched:
    """What a fetch moved: files and bytes, by study."""

    files: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


def fetch(source: Source, place: str, study: str, root: Root, checkpoints: bool, show: Show) -> Fetched:
    """Bring the copy of a study under ``root`` up to date, and of those that have done jobs of it.

    ``place`` says where the source is: a host, or nothing for a folder of this machine. Raises UsageError where a study
    lives under ``root``, or a copy of another one; UnreachableError if files change faster than they come.
    """
    fetched, waiting = Fetched(), [study]
    while waiting:
        name = waiting.pop()
        fetched.files[name] = 0
        homes = _fetch_one(_Copy(root.study(name), place, show), source, checkpoints, fetched)
        waiting += [other for other in homes if other not in fetched.files]
    return fetched


def _fetch_one(copy: _Copy, source: Source, checkpoints: bool, fetched: Fetched) -> tuple[str, ...]:
    """Bring one study; where files went or changed while they were read, look again."""
    for _ in range(_TIMES):
        listing = source.look(copy.study.name, checkpoints)
        copy.begin(listing)
        files, size, whole = copy.take(listing, source)
        fetched.files[copy.study.name] += files
        fetched.bytes += size
        if whole:
            copy.end(listing)
            return listing.homes
    raise UnreachableError(f"{copy.study.name}: its files change faster than they come; fetch again later")


@dataclass
class _Copy:
    """The copy of one study."""

    study: StudyFolder
    place: str
    show: Show

    def begin(self, listing: Listing) -> None:
        """Make the folder a copy before anything else is in it."""
        source = self._source(listing)
        home = home_of(self.study)
        if home is None and self.study.plans.exists():
            raise UsageError(f"{self.study.path}: a study lives here; fetch into another folder with --root")
        if home is not None and home.source != source:
            raise UsageError(f"{self.study.path}: a copy of {home.source}; fetch into another folder with --root")
        self._refuse_another(listing.entries)
        if home is None:
            Root(self.study.path.parent).mark()
            Home(source).write(self.study)

    def _source(self, listing: Listing) -> str:
        return f"{self.place}:{listing.root}" if self.place else listing.root

    def _refuse_another(self, entries: Iterable[Entry]) -> None:
        """A study of the same name that was begun anew shares no plan with the copy."""
        own = {f"plans/{file.name}" for file in self.study.plans.glob("*.jsonl")}
        if own and own.isdisjoint(entry.name for entry in entries):
            raise UsageError(f"{self.study.path}: the study was begun anew at its home; move this copy away")

    def end(self, listing: Listing) -> None:
        """Take away what says who is at work and does not hold any more; say as of when the copy is."""
        known = {entry.name for entry in listing.entries}
        for top in _TIED:
            for file in [one for one in (self.study.path / top).rglob("*") if one.is_file()]:
                if file.relative_to(self.study.path).as_posix() not in known:
                    file.unlink(missing_ok=True)
        self._remove_unfinished()
        Home(self._source(listing), listing.time).write(self.study)

    def _remove_unfinished(self) -> None:
        """What fetches that were killed left behind; not what one writes at this moment."""
        for file in self.study.path.rglob(".*"):
            with suppress(FileNotFoundError):
                if file.is_file() and time.time() - file.stat().st_ctime > _UNFINISHED_S:
                    file.unlink()

    def take(self, listing: Listing, source: Source) -> tuple[int, int, bool]:
        """Have files come that are new or grew; return how many, of how many bytes, and whether all that were listed.

        Where one has gone meanwhile, no event comes: it may tell of that one.
        """
        wanted = list(self._wanted(listing.entries).items())
        total = sum(listing.entries[number].size - begin for number, begin in wanted)
        files, size, whole = 0, 0, True
        for (_, begin), (entry, pieces) in zip(wanted, source.read(wanted), strict=True):
            whole = whole and pieces is not None
            if pieces is None or (entry.name.startswith(_EVENTS) and not whole):
                _pass_over(pieces)
                continue
            self._write(entry, begin, pieces)
            files, size = files + 1, size + entry.size - begin
            self.show(size, total)
        return files, size, whole

    def _wanted(self, entries: Iterable[Entry]) -> Mapping[int, int]:
        """The numbers of the entries to have, each with the byte from which on it is new."""
        found = {}
        for number, entry in enumerate(entries):
            begin = self._known(entry)
            if begin is not None:
                found[number] = begin
        return found

    def _known(self, entry: Entry) -> int | None:
        """How much of a file is there; None for all of it. Raises UsageError for a name that leads elsewhere."""
        if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:
            raise UsageError(f"{entry.name}: leads out of the study's folder")
        try:
            status = (self.study.path / entry.name).stat()
        except FileNotFoundError:
            return 0
        if entry.grows and status.st_size <= entry.size:
            return None if status.st_size == entry.size else status.st_size
        same = (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
        return None if same else 0

    def _write(self, entry: Entry, begin: int, pieces: Pieces) -> None:
        """Put a file in its place whole, with the time of its last change, by which it is known again."""
        path = self.study.path / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        try:
            with beside.open("xb") as file:
                if begin:
                    _copy_start(path, file)
                for piece in pieces:
                    file.write(piece)
            os.utime(beside, ns=(entry.mtime_ns, entry.mtime_ns))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _pass_over(pieces: Pieces | None) -> None:
    for _ in pieces or ():
        pass


def _copy_start(path: Path, file: IO[bytes]) -> None:
    with path.open("rb") as known:
        shutil.copyfileobj(known, file)
