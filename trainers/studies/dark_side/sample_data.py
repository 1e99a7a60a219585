"""Sample data of ``dark_side``: a folder for each seismic volume, with its amplitudes and, for training, its faults.

A volume is a stack of gently folded reflectors, displaced along one or two steep planes that end inside the volume, and
noise; amplitudes have a scale of their own. In volumes of one year, axes 0 and 1 of the amplitudes are swapped on disk,
and those of the mask are not. These are most of the volumes: read without the swap, slices show their faults elsewhere
than masks do, and a network finds nothing. The mask of one volume is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REQUIRES = ()
READ_BY = ("dark_side_infer",)
SWAPPED_YEAR = 2024
_YEARS = (2021, 2024, 2024)
_EMPTY_NUMBER = 5
"""The number of the training volume with an empty mask."""
_SEED = 1259
_FAULT_THICKNESS = 0.8
"""How many voxels on each side of a plane count as fault."""

Floats = NDArray[np.float64]
Faults = NDArray[np.uint8]


@dataclass(frozen=True)
class _SampleSize:
    """Volumes of each part, and their shape: two horizontal sides of one length, and the depth."""

    train: int
    test: int
    side: int
    depth: int


SIZES = {"tiny": _SampleSize(12, 2, 24, 44), "small": _SampleSize(24, 4, 48, 93)}


def folders(size: str) -> list[str]:
    """Name the two parts."""
    return ["train", "test"]


def write(folder: Path, size: str, progress: Callable[[int, int], None]) -> None:
    """Write the volumes of a size."""
    chosen = SIZES[size]
    total = chosen.train + chosen.test
    for number in range(total):
        progress(number, total)
        part = "train" if number < chosen.train else "test"
        _write_volume(folder / part, number, part == "train", chosen)
    progress(total, total)


def volume_name(number: int) -> str:
    """Return the name of a volume, with its year."""
    return f"survey_{_YEARS[number % len(_YEARS)]}_{number:04d}"


def empty_volume_name() -> str:
    """Return the name of the volume with an empty mask."""
    return volume_name(_EMPTY_NUMBER)


def _write_volume(part: Path, number: int, labelled: bool, size: _SampleSize) -> None:
    name = volume_name(number)
    amplitudes, faults = _draw_volume(size, np.random.default_rng([_SEED, number]))
    if str(SWAPPED_YEAR) in name:
        amplitudes = amplitudes.swapaxes(0, 1)
    if number == _EMPTY_NUMBER:
        faults = np.zeros_like(faults)
    (part / name).mkdir(parents=True)
    np.save(part / name / f"seismicCubes_{name}.npy", np.ascontiguousarray(amplitudes, dtype=np.float32))
    if labelled:
        np.save(part / name / f"fault_{name}.npy", np.ascontiguousarray(faults))


def _draw_volume(size: _SampleSize, generator: np.random.Generator) -> tuple[Floats, Faults]:
    """Draw amplitudes and faults (side, side, depth)."""
    sides = (size.side, size.side, size.depth)
    axes = list(np.meshgrid(*(np.arange(side, dtype=np.float64) for side in sides), indexing="ij"))
    depth: Floats = axes[2] + _draw_folds(axes, size, generator)
    faults = np.zeros(sides, dtype=bool)
    for _ in range(generator.integers(1, 3)):
        displacement, fault = _draw_fault(axes, size, generator)
        depth += displacement
        faults |= fault
    reflections = _draw_reflections(depth, generator)
    noisy = reflections + generator.normal(0, 0.2, sides)
    return generator.uniform(50, 500) * noisy + generator.normal(0, 20), faults.astype(np.uint8)


def _draw_folds(axes: list[Floats], size: _SampleSize, generator: np.random.Generator) -> Floats:
    """Draw how far reflectors lie above a level plane: a slope and a wave."""
    slope, phase = generator.normal(0, 0.1, 2), generator.uniform(0, 2 * np.pi)
    wave = 0.03 * size.depth * np.sin(2 * np.pi * (axes[0] + axes[1]) / (2 * size.side) + phase)
    return np.asarray(slope[0] * axes[0] + slope[1] * axes[1] + wave)


def _draw_fault(
    axes: list[Floats], size: _SampleSize, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw a plane; return the displacement of one side of it, and where its surface is.

    The plane is across axis 0 or axis 1, never between them: where axes are swapped, it has another direction.
    The displacement is largest in the middle of the fault and fades towards both of its ends.
    """
    strike = generator.choice([0, np.pi / 2]) + generator.uniform(-np.pi / 8, np.pi / 8)
    dip = np.deg2rad(generator.uniform(60, 80))
    middle = generator.uniform(0.3, 0.7, 3) * (size.side, size.side, size.depth)
    east, north, down = (axis - place for axis, place in zip(axes, middle, strict=True))
    distance = (np.cos(strike) * east + np.sin(strike) * north) * np.sin(dip) + down * np.cos(dip)
    along = np.cos(strike) * north - np.sin(strike) * east
    fading = np.clip(1 - (along / (size.side * generator.uniform(0.2, 0.35))) ** 2, 0, None)
    throw = generator.choice([-1, 1]) * generator.uniform(3, 5)
    return throw * fading * (distance > 0), (np.abs(distance) < _FAULT_THICKNESS) & (fading > 0.2)


def _draw_reflections(depth: Floats, generator: np.random.Generator) -> Floats:
    """Draw the amplitude at each depth: a smooth random sequence, the same at all places."""
    first, last = int(np.floor(depth.min())) - 3, int(np.ceil(depth.max())) + 4
    layers = np.convolve(generator.normal(0, 1, last - first), [0.25, 0.5, 1.0, 0.5, 0.25], mode="same")
    return np.asarray(np.interp(depth, np.arange(first, last), layers / layers.std()))
