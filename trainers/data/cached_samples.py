"""Samples whose images stay in the cache of an upstream stage until a batch needs them, with the splits of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.image_cache import IMAGES, INDEX, CachedImages
from seedfold.trainers.data.node_copies import copy_to_node
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.split_table import SPLIT_FILE, SPLITS, SplitTable, read_split
from seedfold.trainers.data.tasks import Task, task_name
from seedfold.trainers.data.upstream_files import find_upstream_file


def read_cached_splits(task: Task, parents: Mapping[str, Path], scratch: str | None = None) -> dict[str, Samples]:
    """Return the samples of each split, in the order of the cache; ``scratch`` is a folder for copies on this machine.

    Raises DataFailure if cache and split table do not have the same samples, or if the number of samples of a class for
    development (train and dev_cal) is not that of ``task.class_counts``.
    """
    images, table_file = (
        find_upstream_file(parents, IMAGES),
        find_upstream_file(parents, SPLIT_FILE, f"{task_name(task)}/{SPLIT_FILE}"),
    )
    table = read_split(table_file)
    samples = _read_samples(images, scratch)
    splits = _match_splits(samples, table, table_file, images)
    _check_class_counts(task, table, table_file)
    return {split: samples.take(np.flatnonzero(splits == split)) for split in SPLITS}


def _read_samples(images: Path, scratch: str | None) -> Samples:
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = images.with_name(INDEX)
    try:
        rows = pq.read_table(index, columns=["sample_id", "target"], page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataFailure(f"{index}: cannot be read: {error}") from error
    inputs = CachedImages(copy_to_node(images, scratch))
    if len(inputs) != rows.num_rows:
        raise DataFailure(f"{images}: has {len(inputs)} images, but its index lists {rows.num_rows}")
    targets = np.asarray(rows.column("target").to_numpy(), dtype=np.int64)
    return Samples(tuple(rows.column("sample_id").to_pylist()), inputs, targets)


def _match_splits(
    samples: Samples, table: SplitTable, table_file: Path, images: Path
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    rows = {identifier: row for row, identifier in enumerate(table.ids)}
    unknown = next((identifier for identifier in samples.ids if identifier not in rows), None)
    if unknown is not None or len(rows) != len(samples):
        missing = unknown or next(iter(rows.keys() - set(samples.ids)))
        raise DataFailure(f"{table_file}: does not list the samples in {images}; {missing!r} is only in one of them")
    order = np.asarray([rows[identifier] for identifier in samples.ids], dtype=np.int64)
    different = np.flatnonzero(table.targets[order] != samples.targets)
    if len(different):
        raise DataFailure(f"{table_file}: {samples.ids[different[0]]!r} has another target than in {images}")
    return np.asarray(table.splits, dtype=object)[order]


def _check_class_counts(task: Task, table: SplitTable, table_file: Path) -> None:
    declared = task.get("class_counts")
    if declared is None:
        return
    counts = table.class_counts(int(task["classes"]))
    development_counts = [train + cal for train, cal in zip(counts["train"], counts["dev_cal"], strict=True)]
    if len(declared) != len(development_counts):
        raise DataFailure(
            f"task.class_counts: {len(declared)} counts for {len(development_counts)} classes of {task_name(task)}"
        )
    for number, (declared_count, found) in enumerate(zip(declared, development_counts, strict=True)):
        if declared_count != found:
            raise DataFailure(
                f"{table_file}: class {number} of {task_name(task)} has {found} samples to train and validate, "
                f"task.class_counts says {declared_count}; correct it, or set it to null"
            )
