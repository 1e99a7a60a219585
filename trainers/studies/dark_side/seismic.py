"""Seismic volumes: one folder per volume, with its amplitudes and, if they are known, the voxels of its faults.

``FOLDER/VOLUME/seismicCubes_*.npy`` and ``FOLDER/VOLUME/fault_*.npy``, two horizontal axes and the depth. In some
volumes the horizontal axes of the amplitudes are swapped; their names show it. Masks are always in order. Both
horizontal axes have the same length, so that no shape shows a swap that was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import count_noun, did_you_mean
from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.npy_files import read_array
from seedfold.trainers.data.samples import require_data_path

AUTO = "auto"

Amplitudes = NDArray[np.float16]
Faults = NDArray[np.uint8]


@dataclass(frozen=True)
class VolumeFiles:
    """The files of a volume; ``fault_file`` is None where faults are not known.

    ``has_swapped_axes`` says that axes 0 and 1 of the amplitudes are in the other order than those of the mask.
    """

    name: str
    cube_file: Path
    fault_file: Path | None
    has_swapped_axes: bool

    @property
    def files(self) -> list[Path]:
        """Return all files."""
        return [self.cube_file] if self.fault_file is None else [self.cube_file, self.fault_file]


@dataclass(frozen=True)
class SeismicVolumes:
    """The volumes in ``path``, each of ``shape`` (axis 0, axis 1, depth) once its axes are in order.

    ``swapped`` are texts, such as a year: in volumes with one of them in their names, axes 0 and 1 of the amplitudes
    are swapped, and those of the mask are not. Volumes named in ``excluded`` are left out; ``auto`` leaves out those
    with an empty mask, once their masks have been read. ``cube`` and ``fault`` are patterns of file names; without
    ``fault``, faults are not known. Amplitudes get mean 0 and deviation 1 in each volume and are cut off at ± ``clip``
    deviations.
    """

    path: str
    shape: Sequence[int]
    swapped: Sequence[str] = ()
    excluded: Sequence[str] | Literal["auto"] = ()
    cube: str = "seismicCubes_*.npy"
    fault: str | None = "fault_*.npy"
    clip: float = 4.0

    def __post_init__(self) -> None:
        if isinstance(self.excluded, str) and self.excluded != AUTO:
            raise ConfigFailure(f"task.volumes.excluded: {self.excluded!r}; give {AUTO} or a list of names")

    @property
    def excludes_empty(self) -> bool:
        """Return whether volumes with an empty mask are left out."""
        return self.excluded == AUTO

    def find_volumes(self) -> list[VolumeFiles]:
        """Find the volumes, by name. Raises DataFailure for one without its files, ConfigFailure for an exclusion of
        a volume that does not exist.
        """
        folder = require_data_path(self.path)
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        names = [path.name for path in folders]
        excluded = [] if self.excludes_empty else [str(name) for name in self.excluded]
        for name in excluded:
            if name not in names:
                raise ConfigFailure(
                    f"task.volumes.excluded: {folder} has no volume {name!r}{did_you_mean(name, names)}"
                )
        volumes = [self._find_volume(path) for path in folders if path.name not in excluded]
        if not volumes:
            raise DataFailure(
                f"{folder}: holds no volumes (one folder for each); check task.volumes.path and paths.data"
            )
        return volumes

    def _find_volume(self, folder: Path) -> VolumeFiles:
        fault = None if self.fault is None else _find_only_file(folder, self.fault)
        return VolumeFiles(
            folder.name,
            _find_only_file(folder, self.cube),
            fault,
            any(str(text) in folder.name for text in self.swapped),
        )

    def read_amplitudes(self, volume: VolumeFiles) -> Amplitudes:
        """Read the amplitudes of a volume, standardised, axes as in its mask; raises DataFailure naming the file."""
        cube = self._read(volume.cube_file, "iuf", swapped=volume.has_swapped_axes)
        values = np.asarray(cube, dtype=np.float32)
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        if not np.isfinite(deviation):
            raise DataFailure(f"{volume.cube_file}: has an amplitude that is infinite or not a number")
        if deviation == 0:
            raise DataFailure(
                f"{volume.cube_file}: all amplitudes are {mean:g}; exclude the volume in task.volumes.excluded"
            )
        scaled = (values - np.float32(mean)) / np.float32(deviation)
        return np.clip(scaled, -self.clip, self.clip, out=scaled).astype(np.float16)

    def read_faults(self, volume: VolumeFiles) -> Faults | None:
        """Read the voxels of faults (1) of a volume, None if they are not known; raises DataFailure naming the file."""
        if volume.fault_file is None:
            return None
        values = self._read(volume.fault_file, "biuf", swapped=False)
        faults = values == 1
        if not (faults | (values == 0)).all():
            other = values[~(faults | (values == 0))][0]
            raise DataFailure(f"{volume.fault_file}: has a voxel of {other}; give 1 for a fault and 0 for no fault")
        return np.asarray(faults, dtype=np.uint8)

    def _read(self, path: Path, kinds: str, *, swapped: bool) -> NDArray[Any]:
        try:
            values: NDArray[Any] = read_array(path)
        except (OSError, ValueError) as error:
            raise DataFailure(f"{path}: cannot be read as an array: {error}") from error
        if values.dtype.kind not in kinds:
            raise DataFailure(f"{path}: holds {values.dtype}, not real numbers")
        ordered = values.swapaxes(0, 1) if swapped and values.ndim > 1 else values
        if ordered.shape != tuple(self.shape):
            also = " after swapping axes 0 and 1" if swapped else ""
            raise DataFailure(
                f"{path}: has the shape {list(ordered.shape)}{also}; task.volumes.shape is {list(self.shape)}"
            )
        return ordered


def _find_only_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataFailure(f"{folder}: has {count_noun(len(found), 'file')} named {pattern}, and exactly one is needed")
    return found[0]
