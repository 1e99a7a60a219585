"""Cuts seismic volumes into slices along both horizontal axes, into the files of `slice_files`.

Each CPU of the job cuts one volume at a time. If the job is stopped or killed, the next attempt checks the files that
it finds and does the rest. ``index.parquet`` has a row for each slice: volume, whether axes 0 and 1 of its amplitudes
were swapped to match the mask, axis, position along it, row of its mask among those of the volume and axis (-1 for an
empty one, which is not written), and voxels of faults (null where they are not known). With ``excluded: auto``, volumes
with an empty mask are left out, and named in ``excluded.csv`` among the files for people.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.errors import count_noun
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.setup.object_builder import build
from seedfold.trainers.studies.dark_side.seismic import SeismicVolumes, VolumeFiles
from seedfold.trainers.studies.dark_side.slice_files import (
    AXES,
    SlicedVolume,
    find_complete,
    link_into_staging,
    write_slices,
)
from seedfold.trainers.studies.dark_side.slices import EMPTY_MASK

if TYPE_CHECKING:
    import pyarrow as pa

PRELOAD = ("numpy", "pandas", "pyarrow.parquet", "hydra.utils", "seedfold.trainers.studies.dark_side.slices_stage")


_log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Cut the volumes of ``task.volumes``, or of ``new_volumes`` in a stage that has no task.

    Raises DataFailure naming a file that is missing or cannot be used.
    """
    source = _build_source(work.config)
    volumes = source.find_volumes()
    sliced = _slice_all(source, volumes, work)
    for file in (file for volume in volumes for file in volume.files):
        work.reads(file)
    used = _leave_out_empty(sliced, work) if source.excludes_empty else sliced
    link_into_staging(_partial_folder(work), used, work.staging)
    _write_index(work.staging / SLICES_INDEX, used, source.shape)


def after_publish(work: Work) -> None:
    """Remove the files that the next attempt would have continued from."""
    shutil.rmtree(_partial_folder(work), ignore_errors=True)


def _partial_folder(work: Work) -> Path:
    return work.folder / "slices"


def _build_source(config: Mapping[str, Any]) -> SeismicVolumes:
    task = config.get("task") or {}
    key, node = ("task.volumes", task.get("volumes")) if task else ("new_volumes", config.get("new_volumes"))
    source = build(node, key)
    if not isinstance(source, SeismicVolumes):
        raise ConfigFailure(f"{key}: {type(source).__name__} is not SeismicVolumes; only these can be cut into slices")
    return source


def _digest_settings(source: SeismicVolumes, volume: VolumeFiles) -> str:
    """Return a digest of all that the slices of a volume depend on, except its files; other volumes do not count."""
    settings = {**asdict(source), "path": None, "swapped": None, "excluded": None}
    settings["swapped_amplitudes"] = volume.has_swapped_axes
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


def _slice_all(source: SeismicVolumes, volumes: list[VolumeFiles], work: Work) -> list[SlicedVolume]:
    """Complete every volume; raises RunInterrupted between two volumes when asked to stop."""
    sliced_volumes: list[SlicedVolume] = []
    with closing(_iterate_completed(source, volumes, work)) as completed:
        for sliced in completed:
            sliced_volumes.append(sliced)
            work.progress(len(sliced_volumes), len(volumes))
            if len(sliced_volumes) < len(volumes) and work.stop_requested():
                raise RunInterrupted(
                    f"stopped with {len(sliced_volumes)} of {count_noun(len(volumes), 'volume')} done; they are kept"
                )
    return sorted(sliced_volumes, key=lambda sliced: sliced.name)


def _iterate_completed(
    source: SeismicVolumes, volumes: list[VolumeFiles], work: Work
) -> Generator[SlicedVolume, None, None]:
    def complete(volume: VolumeFiles) -> SlicedVolume:
        folder, plan = _partial_folder(work) / volume.name, _digest_settings(source, volume)
        return find_complete(folder, volume, plan) or write_slices(folder, source, volume, plan)

    pool = ThreadPoolExecutor(work.description.resources.cpus, thread_name_prefix="slice")
    try:
        for future in as_completed([pool.submit(complete, volume) for volume in volumes]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_out_empty(volumes: list[SlicedVolume], work: Work) -> list[SlicedVolume]:
    """Return the volumes that have a fault, and name the others; raises DataFailure if none has one."""
    used = [volume for volume in volumes if volume.faults is None or any(volume.faults[0])]
    left_out = [volume.name for volume in volumes if volume not in used]
    if not used:
        raise DataFailure("task.volumes: no volume has a fault; check task.volumes.path and task.volumes.fault")
    if left_out:
        _log.warning("%s with an empty mask left out: %s", count_noun(len(left_out), "volume"), ", ".join(left_out))
        (work.outputs / "excluded.csv").write_text("\n".join(["volume", *left_out]) + "\n")
    return used


def _write_index(path: Path, volumes: list[SlicedVolume], shape: Sequence[int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.concat_tables([_index_rows(volume, shape) for volume in volumes]),
        path,
        compression="zstd",
        write_page_checksum=True,
    )


def _index_rows(volume: SlicedVolume, shape: Sequence[int]) -> pa.Table:
    import pyarrow as pa

    counts = [shape[axis] for axis in AXES]
    faults = [np.zeros(count, np.int64) for count in counts] if volume.faults is None else volume.faults
    masks = [
        np.where(np.asarray(fault_counts) > 0, np.cumsum(np.asarray(fault_counts) > 0) - 1, EMPTY_MASK)
        for fault_counts in faults
    ]
    return pa.table(
        {
            "volume": pa.array([volume.name] * sum(counts), pa.string()),
            "swapped": pa.array([volume.swapped] * sum(counts), pa.bool_()),
            "axis": pa.array(np.repeat(AXES, counts), pa.int64()),
            "position": pa.array(np.concatenate([np.arange(count) for count in counts]), pa.int64()),
            "mask": pa.array(np.concatenate(masks), pa.int64()),
            "faults": pa.array(np.concatenate(faults), pa.int64(), mask=np.full(sum(counts), volume.faults is None)),
        }
    )
