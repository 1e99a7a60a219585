"""Sample data of ``prevalence_shifts``: for each task a folder of images, PNG and JPEG, and a table of labels.

Classes are as frequent as in the real tasks. The images of a class show rings of about the same width and colour.
Classes overlap, in some tasks more than in others.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class _SampleSize:
    """Images of the first, second … task, again from the first if there are more tasks; shortest and longest side."""

    images: tuple[int, ...]
    sides: tuple[int, int]


REQUIRES = ("PIL",)
READ_BY: tuple[str, ...] = ()
SIZES = {"tiny": _SampleSize((240, 300, 420), (24, 40)), "small": _SampleSize((600, 900, 1200), (48, 80))}
_DIFFERENCES = (1.0, 0.6, 0.35)
"""How far apart the classes of the first, second … task are; the widths and colours of one class differ by itself."""


def folders(size: str) -> list[str]:
    """Return the names of the tasks of a size, those of ``conf/tasks/prevalence_shifts_SIZE.yaml``."""
    listed = _read_yaml("tasks", f"prevalence_shifts_{size}")["defaults"]
    return [name for entry in listed for name in entry.values()]


def class_counts(task: str, images: int) -> list[int]:
    """Return how many images of each class to make, as frequent as in ``conf/task/TASK.yaml``."""
    real = _read_yaml("task", task)["class_counts"]
    return [round(images * count / sum(real)) for count in real]


def write(folder: Path, size: str, progress: Callable[[int, int], None]) -> None:
    """Write every task of a size."""
    tasks = folders(size)
    for number, task in enumerate(tasks):
        progress(number, len(tasks))
        images = SIZES[size].images[number % len(SIZES[size].images)]
        _write_task(folder / task, number, class_counts(task, images), SIZES[size].sides)
    progress(len(tasks), len(tasks))


def _read_yaml(group: str, name: str) -> Any:
    import yaml

    return yaml.safe_load(files("seedfold.conf").joinpath(group, f"{name}.yaml").read_text(encoding="utf-8"))


def _write_task(folder: Path, number: int, counts: list[int], sides: tuple[int, int]) -> None:
    images = folder / "images"
    images.mkdir(parents=True)
    generator = np.random.default_rng([1337, number])
    targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["sample_id", "file", "label"])
        for row, target in enumerate(targets.tolist()):
            name = f"{row:05d}.{'jpg' if row % 3 == 2 else 'png'}"
            pixels = _draw_image(target, len(counts), _DIFFERENCES[number % len(_DIFFERENCES)], sides, generator)
            _save_image(pixels, images / name)
            table.writerow([f"{folder.name}-{row:05d}", name, target])


def _draw_image(
    target: int, classes: int, difference: float, sides: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.uint8]:
    height, width = generator.integers(sides[0], sides[1], 2, endpoint=True)
    down, right = generator.uniform(0.3, 0.7, 2)
    distance = np.hypot(np.linspace(0, 1, height)[:, None] - down, np.linspace(0, 1, width)[None] - right)
    cycles = 2 + difference * target + generator.normal(0, 0.5)
    rings = 0.2 * np.sin(2 * np.pi * cycles * distance + generator.uniform(0, 2 * np.pi))
    tint = 0.15 * difference * np.fromiter(_tint_colour(target / classes), np.float64) + generator.normal(0, 0.12, 3)
    noise = generator.normal(0, 0.1, (height, width, 3))
    return np.asarray(255 * np.clip(0.5 + rings[..., None] + tint + noise, 0, 1), dtype=np.uint8)


def _tint_colour(hue: float) -> Iterator[float]:
    """Return red, green and blue of a hue of 0 … 1, each in -1 … 1."""
    return (float(np.cos(2 * np.pi * (hue - third / 3))) for third in range(3))


def _save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)
