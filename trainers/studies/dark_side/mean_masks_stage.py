"""Averages the probabilities of all parents in each volume, and says above ``ensemble.threshold``: this is a fault.

It leaves for people ``submission.npz`` with a mask (uint8, 1 is a fault, axes as in the volume's own file) for each
volume whose faults are not known; for volumes with known faults ``known.npz`` of the same kind, ``dice.csv`` (a row for
each network, axis and orientation, their mean, the ensemble, and for calling every voxel a fault) and
``dice_volumes.csv``; figures of both, and of some slices. A slab of each parent and one mask are in memory at a time.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.settings import read_settings
from seedfold.jobs.work import ConfigFailure, DataFailure, RunInterrupted, Work
from seedfold.results.evaluation.axes import axes_text, axis_names, value_text
from seedfold.results.evaluation.overlaps import METRICS, Overlap
from seedfold.results.evaluation.parents import parent_runs
from seedfold.results.store.finished_job import Run
from seedfold.results.store.published import GIVEN_METRICS, MetricRecord
from seedfold.trainers.data.samples import Samples
from seedfold.trainers.data.upstream_files import SLICES_INDEX
from seedfold.trainers.studies.dark_side.mask_figures import Picture, ScoreRow, draw_scores, draw_slices
from seedfold.trainers.studies.dark_side.mask_results import (
    MEAN,
    NEW,
    TEST,
    VOLUMES_FILE,
    OverlapRow,
    VolumeRow,
    by_look,
    read_overlaps,
    read_volumes,
)
from seedfold.trainers.studies.dark_side.slices import Slices

PRELOAD = ("numpy", "pyarrow.parquet", "matplotlib.figure", "seedfold.trainers.studies.dark_side.mean_masks_stage")
ENSEMBLE, EVERYTHING = "ensemble", "everything"
_SLAB = 16
_LONG_AGO = (1980, 1, 1, 0, 0, 0)

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class MeanSettings:
    """``ensemble``: from which mean probability on it is a fault, and how many volumes of each part are pictured."""

    threshold: float = 0.5
    pictures: int = 4

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> MeanSettings:
        """Read ``config.ensemble``; raises ConfigFailure for an unknown key or value."""
        settings = read_settings(cls, config.get("ensemble"), "ensemble")
        if not 0 < settings.threshold < 1:
            raise ConfigFailure(f"ensemble.threshold: {settings.threshold} is not between 0 and 1")
        return settings


@dataclass(frozen=True)
class _Mean:
    """What the ensemble found in a volume, its overlap with what is true (None: not known), and a slice to look at."""

    volume: VolumeRow
    mask: Mask
    overlap: Overlap | None
    picture: Picture


def run(work: Work) -> None:
    """Write masks, tables and figures; raises ConfigFailure where parents have not predicted the same volumes."""
    settings = MeanSettings.of(work.config)
    runs = [run for run in parent_runs(work) if (run.folder / VOLUMES_FILE).is_file()]
    volumes = _same_volumes(runs)
    slices = _slices(work)
    pictures, overlaps = [], {}
    with _Archive(work.outputs / "submission.npz") as new, _Archive(work.outputs / "known.npz") as known:
        for number, volume in enumerate(volumes):
            work.progress(number, len(volumes))
            if work.stop_requested():
                raise RunInterrupted(f"stopped at volume {volume.volume}; the next attempt begins anew")
            mean = _mean(volume, runs, slices[volume.part], settings.threshold)
            archive = new if mean.overlap is None else known
            archive.add(volume.volume, mean.mask.swapaxes(0, 1) if volume.swapped else mean.mask)
            if mean.overlap is not None:
                overlaps[volume.volume] = mean.overlap, mean.mask.size
            pictures.append((volume.part, mean.picture))
    if overlaps:
        _write_scores(work, runs, overlaps)
    by_part = ([picture for own, picture in pictures if own == part] for part in (TEST, NEW))
    shown = [picture for part in by_part for picture in part[: settings.pictures]]
    if shown:
        draw_slices(work.outputs / "slices.png", shown)
    work.progress(len(volumes), len(volumes))


def _same_volumes(runs: Sequence[Run]) -> list[VolumeRow]:
    if not runs:
        raise ConfigFailure("after: no parent has predicted volumes")
    first = read_volumes(runs[0].folder)
    names = [row.file for row in first]
    for run in runs[1:]:
        if [row.file for row in read_volumes(run.folder)] != names:
            raise ConfigFailure(
                f"after: {axes_text(run.axes)} has predicted other volumes than {axes_text(runs[0].axes)}"
            )
    return first


def _slices(work: Work) -> dict[str, Samples]:
    """The slices along axis 0 of each part."""
    folders = sorted(folder for folder in work.parents.values() if (folder / SLICES_INDEX).is_file())
    loaded = [Slices(axes=[0]).load(folder) for folder in folders]
    return {NEW if samples.masks is None else TEST: samples for samples in loaded}


def _mean(volume: VolumeRow, runs: Sequence[Run], slices: Samples, threshold: float) -> _Mean:
    assert slices.groups is not None
    own = slices.take(np.flatnonzero(slices.groups == volume.volume))
    mask, overlap = np.empty(0, np.uint8), Overlap()
    best, chosen = -1, (0, np.empty(0))
    for start, probabilities in _slabs(volume, runs):
        found = probabilities > threshold
        if not len(mask):
            mask = np.zeros((len(own), *found.shape[1:]), np.uint8)
        mask[start : start + len(found)] = found
        true = None if own.masks is None else own.masks.gather(slice(start, start + len(found))) == 1
        if true is not None:
            overlap += Overlap.of(found, true)
        # The slice in which faults reach over most of the depth: one that is parallel to a fault shows little.
        shown = (found if true is None else true).any(1).sum(1)
        if shown.max() > best:
            place = int(shown.argmax())
            best, chosen = int(shown.max()), (start + place, probabilities[place])
    picture = _picture(volume, own, *chosen, threshold)
    return _Mean(volume, mask, None if own.masks is None else overlap, picture)


def _slabs(volume: VolumeRow, runs: Sequence[Run]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The mean probabilities of some slices along axis 0 after the other, each with its place."""
    counts = [next(row.networks for row in read_volumes(run.folder) if row.file == volume.file) for run in runs]
    files = [_opened(run.folder / volume.file) for run in runs]
    for start in range(0, len(files[0]), _SLAB):
        total = np.zeros_like(files[0][start : start + _SLAB], dtype=np.float32)
        for file, count in zip(files, counts, strict=True):
            total += np.float32(count) * file[start : start + _SLAB]
        yield start, total / np.float32(sum(counts))


def _opened(path: Path) -> NDArray[np.float16]:
    try:
        array: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataFailure(f"{path}: cannot be read as an array: {error}") from error
    return array


def _picture(volume: VolumeRow, own: Samples, row: int, probability: NDArray[Any], threshold: float) -> Picture:
    [image] = own.inputs[row : row + 1].gather(slice(None))  # type: ignore[union-attr]
    true = None if own.masks is None else own.masks.gather(slice(row, row + 1))[0] == 1
    return Picture(f"{volume.volume}, axis 0, slice {row}", image[0], probability, probability > threshold, true)


class _Archive:
    """An archive of arrays, written one after the other; equal arrays make equal bytes. Without any, there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Archive:
        self._archive = zipfile.ZipFile(self._path, "x", zipfile.ZIP_DEFLATED)
        return self

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Append an array under a name."""
        entry = zipfile.ZipInfo(f"{name}.npy", _LONG_AGO)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

    def __exit__(self, *_: object) -> None:
        empty = not self._archive.namelist()
        self._archive.close()
        if empty:
            self._path.unlink()


def _write_scores(work: Work, runs: Sequence[Run], overlaps: Mapping[str, tuple[Overlap, int]]) -> None:
    names = _names(runs)
    rows = [row for run in runs for row in _of_run(names[run.id], read_overlaps(run.folder))]
    whole = sum((overlap for overlap, _ in overlaps.values()), Overlap())
    everything = Overlap(whole.true, sum(size for _, size in overlaps.values()), whole.true)
    rows += [ScoreRow(ENSEMBLE, None, None, whole), ScoreRow(EVERYTHING, None, None, everything)]
    _write_csv(work.outputs / "dice.csv", [_cells(row) for row in rows])
    _write_csv(work.outputs / "dice_volumes.csv", list(_by_volume(names, runs, overlaps)))
    draw_scores(work.outputs / "dice.svg", rows)
    records = [
        MetricRecord(split=TEST, head=row.model, metric=name, value=metric(row.overlap))
        for row in rows[-2:]
        for name, metric in METRICS.items()
    ]
    (work.staging / GIVEN_METRICS).write_text(json.dumps(records))


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """What each run is called: the axes in which they differ."""
    differing = [name for name in axis_names(runs) if len({value_text(run.axes.get(name)) for run in runs}) > 1]
    return {
        run.id: axes_text({name: run.axes[name] for name in differing if name in run.axes}) or run.stage for run in runs
    }


def _of_run(name: str, rows: Sequence[OverlapRow]) -> Iterator[ScoreRow]:
    looks = by_look(rows)
    several = len({network for network, axis, _ in looks if axis is not None}) > 1
    for (network, axis, orientation), overlap in looks.items():
        model = f"{name} {network}" if several and network != MEAN else name
        yield ScoreRow(model, axis, orientation, overlap)


def _cells(row: ScoreRow) -> dict[str, Any]:
    metrics = {name: metric(row.overlap) for name, metric in METRICS.items()}
    return {"model": row.model, "axis": row.axis, "orientation": row.orientation, **metrics, **asdict(row.overlap)}


def _by_volume(
    names: Mapping[str, str], runs: Sequence[Run], overlaps: Mapping[str, tuple[Overlap, int]]
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
