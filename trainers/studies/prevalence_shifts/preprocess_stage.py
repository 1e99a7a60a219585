"""Decodes and resizes all images of a task into one file, the cache of `image_cache`.

The job's CPUs decode chunks at the same time (Pillow lets other threads run meanwhile); each holds one chunk in memory.
If the job is stopped or killed, the next attempt checks the chunks that it finds and does the rest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import count_noun
from seedfold.jobs.work import DataFailure, RunInterrupted, Work
from seedfold.trainers.data.image_cache import INDEX
from seedfold.trainers.data.images import ImageFolder, LabelTable
from seedfold.trainers.studies.prevalence_shifts.manifest import build_image_folder, read_label_table
from seedfold.trainers.studies.prevalence_shifts.partial_cache import Chunk, PartialCache, SourceFile

PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "hydra.utils",
    "seedfold.trainers.studies.prevalence_shifts.preprocess_stage",
)


def run(work: Work) -> None:
    """Cache the images of ``task``; raises DataFailure naming a file that is missing or cannot be read."""
    task: Mapping[str, Any] = work.config["task"]
    source, table = build_image_folder(task), read_label_table(task, work.parents, work.reads)
    cache = PartialCache(_partial_folder(work), (len(table), *source.shape), _digest_settings(source, table))
    chunks = _complete_all(_ChunkDecoder(source, table, cache), work)
    cache.link_into_staging(work.staging)
    _write_index(work.staging / INDEX, table, chunks)


def after_publish(work: Work) -> None:
    """Remove the files that the next attempt would have continued from."""
    shutil.rmtree(_partial_folder(work), ignore_errors=True)


def _partial_folder(work: Work) -> Path:
    return work.folder / "cache"


def _digest_settings(source: ImageFolder, table: LabelTable) -> str:
    """Return a digest of all that the pixels depend on, except the content of the files."""
    settings: list[Any] = [source.mode, source.resize, *source.shape]
    if source.smallest_side is not None or source.pad_to is not None:
        settings += [source.smallest_side, source.pad_to]
    return hashlib.sha256(canonical_json([settings, table.ids, table.files]).encode()).hexdigest()


@dataclass(frozen=True)
class _ChunkDecoder:
    """Fills a cache, one chunk after the other."""

    source: ImageFolder
    table: LabelTable
    cache: PartialCache

    def complete_chunk(self, rows: range) -> tuple[Chunk, bool]:
        """Put a chunk into the cache if it is not there; return the chunk, and whether it is new."""
        chunk = self.cache.chunks_by_start.get(rows.start)
        if chunk is not None and self._are_sources_unchanged(chunk, rows) and self.cache.is_unchanged(chunk):
            return chunk, False
        return self._decode_chunk(rows), True

    def _are_sources_unchanged(self, chunk: Chunk, rows: range) -> bool:
        states = [self._source_state(row) for row in rows]
        return states == [(source.bytes, source.mtime_ns) for source in chunk.sources]

    def _source_state(self, row: int) -> tuple[int, int]:
        self.source.file_size(self.table, row)
        status = (self.table.folder / self.table.files[row]).stat()
        return status.st_size, status.st_mtime_ns

    def _decode_chunk(self, rows: range) -> Chunk:
        pixels = np.empty((len(rows), *self.source.shape), dtype=np.uint8)
        sources = []
        for position, row in enumerate(rows):
            size, changed = self._source_state(row)
            file = self.table.folder / self.table.files[row]
            content = _read_content(file)
            pixels[position] = self.source.decode(file, content)
            sources.append(SourceFile(size, changed, hashlib.sha256(content).hexdigest()))
        return self.cache.write_chunk(rows.start, pixels, tuple(sources))


def _read_content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataFailure(f"{file}: cannot be read: {error.strerror}") from error


def _complete_all(decoder: _ChunkDecoder, work: Work) -> list[Chunk]:
    """Complete every chunk; raises RunInterrupted between two chunks when asked to stop."""
    chunks: list[Chunk] = []
    done, total = 0, len(decoder.table)
    with closing(_iterate_completed(decoder, work.description.resources.cpus)) as completed:
        for chunk, new in completed:
            if new:
                decoder.cache.record_chunk(chunk)
            chunks.append(chunk)
            done += len(chunk.sources)
            work.progress(done, total)
            if done < total and work.stop_requested():
                raise RunInterrupted(f"stopped with {done} of {count_noun(total, 'image')} done; they are kept")
    return sorted(chunks, key=lambda chunk: chunk.start)


def _iterate_completed(decoder: _ChunkDecoder, threads: int) -> Generator[tuple[Chunk, bool], None, None]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for future in as_completed([pool.submit(decoder.complete_chunk, rows) for rows in decoder.cache.chunk_rows]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write_index(path: Path, table: LabelTable, chunks: list[Chunk]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources = [source for chunk in chunks for source in chunk.sources]
    columns = {
        "row": pa.array(range(len(table)), pa.int64()),
        "sample_id": pa.array(table.ids, pa.string()),
        "target": pa.array(table.targets),
        "bytes": pa.array([source.bytes for source in sources], pa.int64()),
        "sha256": pa.array([source.sha256 for source in sources], pa.string()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd", write_page_checksum=True)
