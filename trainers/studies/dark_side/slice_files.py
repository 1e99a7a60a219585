"""The slices of one volume on disk, which survive a kill at any moment.

``slices0.npy`` and ``slices1.npy`` hold the slices along axis 0 and along axis 1, float16 (slices, height, depth);
``masks0.npy`` and ``masks1.npy`` (uint8) hold only the masks that are not empty. ``volume.json``, the record of the
other files, is written last. It counts only if the files have the digests in it and the sources are unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import DataFailure
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.data.resumable_files import file_digest, link_or_move, save_array
from seedfold.trainers.studies.dark_side.seismic import Amplitudes, Faults, SeismicVolumes, VolumeFiles

AXES = (0, 1)
RECORD_FILE = "volume.json"


def slices_file(axis: int) -> str:
    """Return the file with the slices along an axis."""
    return f"slices{axis}.npy"


def masks_file(axis: int) -> str:
    """Return the file with the masks of the slices that have faults."""
    return f"masks{axis}.npy"


@dataclass(frozen=True)
class SlicedVolume:
    """The files on disk of one volume.

    ``plan`` is a digest of all settings, ``sources`` has size and time of change of each source file, ``files`` the
    digest of each file. ``swapped`` says that axes 0 and 1 of the amplitudes were swapped to match the mask, ``faults``
    how many voxels of faults there are in each slice along each axis, None if faults are not known.
    """

    name: str
    plan: str
    sources: list[list[int]]
    files: dict[str, str]
    swapped: bool
    faults: list[list[int]] | None


def source_states(volume: VolumeFiles) -> list[list[int]]:
    """Return size and time of change of each file; raises DataFailure for a missing file."""
    try:
        return [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in volume.files)]
    except OSError as error:
        raise DataFailure(f"{error.filename}: cannot be read: {error.strerror}") from error


def find_complete(folder: Path, volume: VolumeFiles, plan: str) -> SlicedVolume | None:
    """Return the volume in ``folder`` if it is whole and has this plan and these sources; else None."""
    try:
        record = SlicedVolume(**json.loads((folder / RECORD_FILE).read_text()))
        is_unchanged = all(file_digest(folder / name) == digest for name, digest in record.files.items())
    except (OSError, ValueError, TypeError):
        return None
    as_planned = (record.name, record.plan, record.sources) == (volume.name, plan, source_states(volume))
    return record if is_unchanged and as_planned else None


def write_slices(folder: Path, source: SeismicVolumes, volume: VolumeFiles, plan: str) -> SlicedVolume:
    """Cut a volume into slices; raises DataFailure naming a file that cannot be used."""
    sources = source_states(volume)
    faults = source.read_faults(volume)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD_FILE).unlink(missing_ok=True)
    contents = _iterate_contents(source.read_amplitudes(volume), faults)
    digests = {name: save_array(folder / name, array) for name, array in contents}
    counts = None if faults is None else [faults.sum((1 - axis, 2), dtype=np.int64).tolist() for axis in AXES]
    record = SlicedVolume(volume.name, plan, sources, digests, volume.has_swapped_axes, counts)
    with replace_file(folder / RECORD_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(record)))
    return record


def _iterate_contents(amplitudes: Amplitudes, faults: Faults | None) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name each file with its content, one after the other: a volume is large."""
    for axis in AXES:
        yield slices_file(axis), np.moveaxis(amplitudes, axis, 0)
        if faults is not None:
            yield masks_file(axis), _drop_empty(np.moveaxis(faults, axis, 0))


def _drop_empty(masks: Faults) -> Faults:
    return masks[masks.any((1, 2))]


def link_into_staging(folder: Path, volumes: Sequence[SlicedVolume], staging: Path) -> None:
    """Make hard links to the files in ``staging``, a folder per volume; if there are no hard links, move the files."""
    for volume in volumes:
        (staging / volume.name).mkdir()
        for name in volume.files:
            link_or_move(folder / volume.name / name, staging / volume.name / name)
