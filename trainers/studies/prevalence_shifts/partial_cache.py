"""An unfinished cache of images, which survives a kill at any moment.

Pixels are written in place, a chunk of consecutive images at a time, and flushed to disk; then a line in a journal says
so, with a digest of the pixels and the size, time of change and digest of every source file. The next
attempt checks every line: a chunk counts as done only if its pixels have the digest and its sources are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seedfold.results.store.atomic_files import fsync_path, replace_file
from seedfold.trainers.data.image_cache import IMAGES, ImagesShape, npy_header
from seedfold.trainers.data.images import Pixels

_CHUNK_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class SourceFile:
    """The state of an image file when it was decoded."""

    bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Chunk:
    """Consecutive images from row ``start`` on, as they are in the cache."""

    start: int
    sha256: str
    sources: tuple[SourceFile, ...]


class PartialCache:
    """``images.npy`` and its journal in ``folder``; ``plan`` is a digest of all that the pixels depend on.

    Files of another plan are removed. ``chunks_by_start`` are the chunks in the journal, by their first row.
    """

    def __init__(self, folder: Path, shape: ImagesShape, plan: str) -> None:
        self._folder, self._plan = folder, plan
        self._images, self._journal = folder / IMAGES, folder / "journal.jsonl"
        self._header = npy_header(shape)
        self._image_bytes = int(np.prod(shape[1:], dtype=np.int64))
        self._count = shape[0]
        self.chunks_by_start = {chunk.start: chunk for chunk in self._read_journal()}
        if not self._is_usable():
            self._start_empty()
        self._rewrite_journal()

    @property
    def chunk_rows(self) -> list[range]:
        """Return the rows of each chunk."""
        size = max(1, _CHUNK_BYTES // self._image_bytes)
        return [range(start, min(start + size, self._count)) for start in range(0, self._count, size)]

    def _read_journal(self) -> Iterator[Chunk]:
        try:
            first, *lines = self._journal.read_text().splitlines()
            if json.loads(first) != {"plan": self._plan}:
                return
        except (FileNotFoundError, ValueError):
            return
        for line in lines:
            try:
                record = json.loads(line)
                sources = tuple(SourceFile(**source) for source in record["sources"])
                yield Chunk(record["start"], record["sha256"], sources)
            except (ValueError, KeyError, TypeError):  # This file was being written when the process was killed.
                return

    def _is_usable(self) -> bool:
        """Return whether the images may be written to: of the right size, and not yet published under another name."""
        if not self.chunks_by_start:
            return False
        try:
            status = self._images.stat()
        except FileNotFoundError:
            return False
        return status.st_nlink == 1 and status.st_size == len(self._header) + self._count * self._image_bytes

    def _start_empty(self) -> None:
        self.chunks_by_start = {}
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        with self._images.open("xb") as file:
            file.write(self._header)
            file.truncate(len(self._header) + self._count * self._image_bytes)
        fsync_path(self._images)

    def _rewrite_journal(self) -> None:
        lines = [
            json.dumps({"plan": self._plan}),
            *(json.dumps(asdict(chunk)) for chunk in self.chunks_by_start.values()),
        ]
        with replace_file(self._journal) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))

    def is_unchanged(self, chunk: Chunk) -> bool:
        """Return whether the images of a chunk are on disk as they were written."""
        with self._images.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), len(chunk.sources) * self._image_bytes, self._row_offset(chunk.start))
        return hashlib.sha256(content).hexdigest() == chunk.sha256

    def write_chunk(self, start: int, pixels: Pixels, sources: tuple[SourceFile, ...]) -> Chunk:
        """Write the images from row ``start`` on; call `record_chunk` afterwards. Several threads may write at once."""
        with self._images.open("r+b", buffering=0) as file:
            content = memoryview(pixels.tobytes())
            written = 0
            while written < len(content):
                written += os.pwrite(file.fileno(), content[written:], self._row_offset(start) + written)
            os.fsync(file.fileno())
        return Chunk(start, hashlib.sha256(content).hexdigest(), sources)

    def record_chunk(self, chunk: Chunk) -> None:
        """Record in the journal that a chunk is done."""
        with self._journal.open("a") as file:
            file.write(json.dumps(asdict(chunk)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _row_offset(self, row: int) -> int:
        return len(self._header) + row * self._image_bytes

    def link_into_staging(self, staging: Path) -> None:
        """Put the finished images into ``staging``, by a hard link if the file system has hard links: if the staging
        folder is lost before the result is published, the images are not.
        """
        try:
            (staging / IMAGES).hardlink_to(self._images)
        except OSError:
            shutil.move(self._images, staging / IMAGES)
