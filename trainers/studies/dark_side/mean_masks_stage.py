"""Averages the probabilities of all parents in each volume; a voxel above ``ensemble.threshold`` is a fault.

It writes for people ``submission.npz`` with a mask (uint8, 1 is a fault, axes as in files of masks) for each
volume whose faults are not known; for volumes with known faults ``known.npz`` in the same form, ``dice.csv`` (a row for
each network, axis and orientation, their mean, the ensemble, and for a mask in which every voxel is a fault) and
``dice_volumes.csv``; figures of both, and of some slices. Only one slab of each parent
and one mask are in memory at a time.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.results.evaluation.axes import axis_names, format_axes, format_value
from seedfold.results.evaluation.overlaps import METRICS, Overlap
from seedfold.results.evaluation.parent_jobs import parent_runs
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import RUN_METRICS_FILE, MetricRecord
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.studies.dark_side.mask_figures import ScoreRow, SlicePicture, draw_scores, draw_slices
from seedfold.trainers.studies.dark_side.mask_results import (
    MEAN_NETWORK,
    NEW_PART,
    TEST_PART,
    VOLUMES_FILE,
    OverlapRow,
    VolumeRow,
    read_overlaps,
    read_volumes,
    sum_by_pass,
)
from seedfold.trainers.studies.dark_side.slices import Slices

PRELOAD = ("numpy", "pyarrow.parquet", "matplotlib.figure", "seedfold.trainers.studies.dark_side.mean_masks_stage")
ENSEMBLE, ALL_FAULT = "ensemble", "everything"
_SLAB_SLICES = 16
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class MeanSettings:
    """``ensemble``: the threshold of the mean probability of a fault, and how many volumes of each part are drawn."""

    threshold: float = 0.5
    pictures: int = 4

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MeanSettings:
        """Read ``config.ensemble``; raises ConfigFailure for an unknown key or value."""
        settings = read_settings(cls, config.get("ensemble"), "ensemble")
        if not 0 < settings.threshold < 1:
            raise ConfigFailure(f"ensemble.threshold: {settings.threshold} is not between 0 and 1")
        return settings


@dataclass(frozen=True)
class _MeanVolume:
    """The ensemble's mask of a volume, its overlap with the true mask (None: unknown), and a slice to draw."""

    volume: VolumeRow
    mask: Mask
    overlap: Overlap | None
    picture: SlicePicture


def run(work: Work) -> None:
    """Write masks, tables and figures; raises ConfigFailure if parents have not predicted the same volumes."""
    settings = MeanSettings.from_config(work.config)
    runs = [run for run in parent_runs(work) if (run.folder / VOLUMES_FILE).is_file()]
    volumes = _read_common_volumes(runs)
    slices = _load_slices(work)
    pictures, overlaps = [], {}
    with _ArrayArchive(work.outputs / "submission.npz") as new, _ArrayArchive(work.outputs / "known.npz") as known:
        for number, volume in enumerate(volumes):
            work.progress(number, len(volumes))
            if work.stop_requested():
                raise RunInterrupted(
                    f"stopped at volume {volume.volume}; the next attempt starts again at the first volume"
                )
            mean = _average_volume(volume, runs, slices[volume.part], settings.threshold)
            archive = new if mean.overlap is None else known
            archive.add(volume.volume, mean.mask)
            if mean.overlap is not None:
                overlaps[volume.volume] = mean.overlap, mean.mask.size
            pictures.append((volume.part, mean.picture))
    if overlaps:
        _write_scores(work, runs, overlaps)
    by_part = ([picture for own, picture in pictures if own == part] for part in (TEST_PART, NEW_PART))
    shown = [picture for part in by_part for picture in part[: settings.pictures]]
    if shown:
        draw_slices(work.outputs / "slices.png", shown)
    work.progress(len(volumes), len(volumes))


def _read_common_volumes(runs: Sequence[FinishedJob]) -> list[VolumeRow]:
    if not runs:
        raise ConfigFailure("after: no parent has predicted volumes")
    first = read_volumes(runs[0].folder)
    names = [row.file for row in first]
    for run in runs[1:]:
        if [row.file for row in read_volumes(run.folder)] != names:
            raise ConfigFailure(
                f"after: {format_axes(run.axes)} has predicted other volumes than {format_axes(runs[0].axes)}"
            )
    return first


def _load_slices(work: Work) -> dict[str, Samples]:
    """Return the slices along axis 0 of each part."""
    folders = sorted(folder for folder in work.parents.values() if (folder / SLICES_INDEX).is_file())
    loaded = [Slices(axes=[0]).load(folder) for folder in folders]
    return {NEW_PART if samples.masks is None else TEST_PART: samples for samples in loaded}


def _average_volume(volume: VolumeRow, runs: Sequence[FinishedJob], slices: Samples, threshold: float) -> _MeanVolume:
    assert slices.groups is not None
    volume_slices = slices.take(np.flatnonzero(slices.groups == volume.volume))
    mask, overlap = np.empty(0, np.uint8), Overlap()
    best, best_slice = -1, (0, np.empty(0))
    for start, probabilities in _mean_slabs(volume, runs):
        found = probabilities > threshold
        if not len(mask):
            mask = np.zeros((len(volume_slices), *found.shape[1:]), np.uint8)
        mask[start : start + len(found)] = found
        true = (
            None if volume_slices.masks is None else volume_slices.masks.gather(slice(start, start + len(found))) == 1
        )
        if true is not None:
            overlap += Overlap.from_masks(found, true)
        # Take the slice in which faults cover most of the depth: a slice that is parallel to a fault shows little.
        fault_columns = (found if true is None else true).any(1).sum(1)
        if fault_columns.max() > best:
            position = int(fault_columns.argmax())
            best, best_slice = int(fault_columns.max()), (start + position, probabilities[position])
    picture = _make_picture(volume, volume_slices, *best_slice, threshold)
    return _MeanVolume(volume, mask, None if volume_slices.masks is None else overlap, picture)


def _mean_slabs(volume: VolumeRow, runs: Sequence[FinishedJob]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the mean probabilities of some slices along axis 0 at a time, with their place."""
    counts = [next(row.networks for row in read_volumes(run.folder) if row.file == volume.file) for run in runs]
    files = [_open_array(run.folder / volume.file) for run in runs]
    for start in range(0, len(files[0]), _SLAB_SLICES):
        total = np.zeros_like(files[0][start : start + _SLAB_SLICES], dtype=np.float32)
        for file, count in zip(files, counts, strict=True):
            total += np.float32(count) * file[start : start + _SLAB_SLICES]
        yield start, total / np.float32(sum(counts))


def _open_array(path: Path) -> NDArray[np.float16]:
    try:
        array: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataFailure(f"{path}: cannot be read as an array: {error}") from error
    return array


def _make_picture(
    volume: VolumeRow, volume_slices: Samples, row: int, probability: NDArray[Any], threshold: float
) -> SlicePicture:
    [image] = volume_slices.inputs[row : row + 1].gather(slice(None))  # type: ignore[union-attr]
    true = None if volume_slices.masks is None else volume_slices.masks.gather(slice(row, row + 1))[0] == 1
    return SlicePicture(f"{volume.volume}, axis 0, slice {row}", image[0], probability, probability > threshold, true)


class _ArrayArchive:
    """An archive of arrays, written one by one; equal arrays make equal bytes. Without arrays there is no file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _ArrayArchive:
        self._archive = zipfile.ZipFile(self._path, "x", zipfile.ZIP_DEFLATED)
        return self

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Append an array under a name."""
        entry = zipfile.ZipInfo(f"{name}.npy", _FIXED_DATE)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

    def __exit__(self, *_: object) -> None:
        empty = not self._archive.namelist()
        self._archive.close()
        if empty:
            self._path.unlink()


def _write_scores(work: Work, runs: Sequence[FinishedJob], overlaps: Mapping[str, tuple[Overlap, int]]) -> None:
    names = _run_names(runs)
    total = sum((overlap for overlap, _ in overlaps.values()), Overlap())
    everything = Overlap(total.true, sum(size for _, size in overlaps.values()), total.true)
    whole = [ScoreRow(ENSEMBLE, None, None, total), ScoreRow(ALL_FAULT, None, None, everything)]
    rows = [*whole, *(row for run in runs for row in _score_rows(names[run.id], read_overlaps(run.folder)))]
    _write_csv(work.outputs / "dice.csv", [_score_cells(row) for row in rows])
    _write_csv(work.outputs / "dice_volumes.csv", list(_volume_rows(names, runs, overlaps)))
    draw_scores(work.outputs / "dice.svg", rows)
    records = [
        MetricRecord(split=TEST_PART, head=row.model, metric=name, value=metric(row.overlap))
        for row in whole
        for name, metric in METRICS.items()
    ]
    (work.staging / RUN_METRICS_FILE).write_text(json.dumps(records))


def _run_names(runs: Sequence[FinishedJob]) -> dict[str, str]:
    """Return the name of each run: that of its network, and if several have it, the axes in which runs differ."""
    differing = [name for name in axis_names(runs) if len({format_value(run.axes.get(name)) for run in runs}) > 1]
    axes = {run.id: format_axes({name: run.axes[name] for name in differing if name in run.axes}) for run in runs}
    networks = {run.id: _only_network(run) for run in runs}
    counts = Counter(networks.values())
    return {
        run.id: networks[run.id] if counts[networks[run.id]] == 1 else f"{networks[run.id]} {axes[run.id]}".strip()
        for run in runs
    }


def _only_network(run: FinishedJob) -> str:
    """Return the name of the network of a run; the name of its stage if there are several."""
    names = {row.network for row in read_overlaps(run.folder) if row.axis is not None}
    return names.pop() if len(names) == 1 else run.stage


def _score_rows(name: str, rows: Sequence[OverlapRow]) -> Iterator[ScoreRow]:
    looks = sum_by_pass(rows)
    several = len({network for network, axis, _ in looks if axis is not None}) > 1
    for (network, axis, orientation), overlap in looks.items():
        model = f"{name} {network}" if several and network != MEAN_NETWORK else name
        yield ScoreRow(model, axis, orientation, overlap)


def _score_cells(row: ScoreRow) -> dict[str, Any]:
    metrics = {name: metric(row.overlap) for name, metric in METRICS.items()}
    return {"model": row.model, "axis": row.axis, "orientation": row.orientation, **metrics, **asdict(row.overlap)}


def _volume_rows(
    names: Mapping[str, str], runs: Sequence[FinishedJob], overlaps: Mapping[str, tuple[Overlap, int]]
) -> Iterator[dict[str, Any]]:
    for run in runs:
        for row in read_overlaps(run.folder):
            if row.axis is None:
                yield {"model": names[run.id], "volume": row.volume, "dice": row.overlap.dice}
    for volume, (overlap, _) in overlaps.items():
        yield {"model": ENSEMBLE, "volume": volume, "dice": overlap.dice}


def _write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
