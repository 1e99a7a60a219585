"""Sample data of ``mgmt``: a table of cases, and for each case a folder with four volumes and the mask of the tumour.

A case is a brain with one tumour of random place and size. Where the label is 1 the tumour is somewhat brighter at its
rim in ``t1c`` and darker in its middle in ``fla``; scanners differ in scale and offset. The tiny data has no labels for
its test cohort, as before a competition ends.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REQUIRES = ()
READ_BY: tuple[str, ...] = ()
TABLE_FILE, VOLUMES_FOLDER = "cases.csv", "volumes"
MODALITIES = ("t2w", "fla", "t1w", "t1c")
_SEED = 1337

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _SampleSize:
    """Cases of each cohort, the side of a volume, and whether the labels of the test cohort are known."""

    train: int
    test: int
    side: int
    test_labels: bool


SIZES = {"tiny": _SampleSize(36, 9, 16, test_labels=False), "small": _SampleSize(120, 40, 16, test_labels=True)}


def folders(size: str) -> list[str]:
    """Name the only folder."""
    return [VOLUMES_FOLDER]


def write(folder: Path, size: str, progress: Callable[[int, int], None]) -> None:
    """Write the table and the volumes of a size."""
    chosen = SIZES[size]
    generator = np.random.default_rng(_SEED)
    cohorts = ["train"] * chosen.train + ["test"] * chosen.test
    labels = generator.permutation(np.arange(len(cohorts)) % 2).tolist()
    scales = [name for modality in MODALITIES for name in (f"{modality}_mean", f"{modality}_sd")]
    with (folder / TABLE_FILE).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "cohort", "label", *scales])
        for number, (cohort, label) in enumerate(zip(cohorts, labels, strict=True)):
            progress(number, len(cohorts))
            name = f"{number:05d}"
            scale_texts = _write_case(folder / VOLUMES_FOLDER / name, label, chosen.side, generator)
            is_labelled = cohort == "train" or chosen.test_labels
            table.writerow([name, cohort, label if is_labelled else "", *scale_texts])
    progress(len(cohorts), len(cohorts))


def _write_case(folder: Path, label: int, side: int, generator: np.random.Generator) -> list[str]:
    """Write the volumes of a case; return mean and deviation of each inside the brain, as text."""
    folder.mkdir(parents=True)
    brain = _distances(np.full(3, 0.5), side) < 0.45
    radius = generator.uniform(0.2, 0.3)
    inside = _distances(generator.uniform(0.35, 0.65, 3), side) / radius
    np.save(folder / "mask.npy", (inside < 1).astype(np.uint8))
    scales = []
    for modality in MODALITIES:
        values = _draw_modality(modality, label, inside, generator)
        volume = np.where(brain, generator.uniform(200, 800) * values + generator.uniform(500, 3000), 0)
        volume = volume.round().astype(np.int16)
        np.save(folder / f"{modality}.npy", volume)
        scales += [f"{volume[brain].mean():.6g}", f"{volume[brain].std():.6g}"]
    return scales


def _distances(center: _Array, side: int) -> _Array:
    """Return the distance of each voxel from a place, both in 0 … 1."""
    axes = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 3, indexing="ij")
    return np.asarray(np.sqrt(sum((axis - centre) ** 2 for axis, centre in zip(axes, center, strict=True))))


def _draw_modality(name: str, label: int, inside: _Array, generator: np.random.Generator) -> _Array:
    """Draw noise and the tumour; ``inside`` is the distance from its middle divided by its radius."""
    values: _Array = generator.normal(0, 0.5, inside.shape) + generator.normal(1.0, 0.3) * (inside < 1)
    if name == "t1c":
        values += (generator.normal(0.3, 0.3) + 1.5 * label) * (np.abs(inside - 0.85) < 0.15)
    if name == "fla":
        values -= (generator.normal(0.3, 0.3) + 0.8 * label) * (inside < 0.5)
    return values
