"""The manifest: a table of every image of every task, which one stage writes for all later stages.

``manifest.parquet`` has the columns task, sample_id, file (relative to the task's folder of images), target, bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.images import ImageFolder, LabelTable
from seedfold.trainers.data.samples import Reads, require_data_path
from seedfold.trainers.data.tasks import Task, task_name
from seedfold.trainers.data.upstream_files import find_optional_upstream_file
from seedfold.trainers.setup.object_builder import build

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_FILE = "manifest.parquet"


def build_image_folder(task: Task) -> ImageFolder:
    """Build ``task.source``; raises ConfigFailure if it is not a folder of images."""
    source = build(task.get("source"), "task.source")
    if not isinstance(source, ImageFolder):
        raise ConfigFailure(f"task.source: {type(source).__name__} is not ImageFolder; only images can be registered")
    return source


def make_manifest_table(name: str, task: Task, reads: Reads) -> pa.Table:
    """Read a task's table of labels and check every file; raises DataFailure naming the row without a file."""
    import pyarrow as pa

    source = build_image_folder(task)
    table = source.read_table(reads)
    return pa.table(
        {
            "task": pa.array([name] * len(table), pa.string()),
            "sample_id": pa.array(table.ids, pa.string()),
            "file": pa.array(table.files, pa.string()),
            "target": pa.array(table.targets),
            "bytes": pa.array([source.file_size(table, row) for row in range(len(table))], pa.int64()),
        }
    )


def write_manifest(folder: Path, tables: Iterable[Any]) -> None:
    """Write the rows of all tasks as one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.concat_tables(list(tables)), folder / MANIFEST_FILE, compression="zstd", write_page_checksum=True)


def read_label_table(task: Task, parents: Mapping[str, Path], reads: Reads) -> LabelTable:
    """Return a task's images: from the manifest of a parent, else from the task's own table of labels.

    Raises DataFailure if the task is not in the manifest.
    """
    manifest = find_optional_upstream_file(parents, MANIFEST_FILE)
    if manifest is None:
        return build_image_folder(task).read_table(reads)
    name = task_name(task)
    import pyarrow.parquet as pq

    rows = pq.read_table(manifest, filters=[("task", "=", name)], page_checksum_verification=True)
    if not rows.num_rows:
        raise DataFailure(
            f"{manifest}: does not list the task {name}; add it to tasks of the stage that wrote this file"
        )
    return LabelTable(
        folder=require_data_path(build_image_folder(task).path),
        ids=tuple(rows.column("sample_id").to_pylist()),
        files=tuple(rows.column("file").to_pylist()),
        targets=np.asarray(rows.column("target").to_numpy(), dtype=np.int64),
    )
