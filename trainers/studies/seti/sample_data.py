"""Sample data of ``seti``: spectrogram cadences as NumPy files, their tables, and the same as TFRecord shards.

All cadences are noise; many have interference, upright lines in all six positions. A cadence with a signal has a
drifting line only in the positions on target. A quarter of the signals are so faint that hardly any can be found: no
network is right about all of them, as in the real data, so that its best epoch and its augmentation matter.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedfold.trainers.data.tfrecord_example import serialize_example
from seedfold.trainers.data.tfrecord_framing import write_records

POSITIONS, HEIGHT, WIDTH = 6, 273, 256
ON_TARGET = (0, 2, 4)
_SHARDS, _TEST_SHARDS = 20, 4
_SIGNAL_SHARE = 0.3
"""The share of cadences with a signal. It is smaller in the real data, which are many more cadences."""
_SIGNAL_BRIGHTNESS, _FAINT_BRIGHTNESS, _INTERFERENCE_BRIGHTNESS = 0.9, 0.2, 1.5
"""Brightness of a line, in standard deviations of the noise."""
_FAINT_SHARE = 0.25
"""The share of signals that are faint."""


@dataclass(frozen=True)
class _SampleSize:
    train: int
    test: int


SIZES = {"tiny": _SampleSize(80, 24), "small": _SampleSize(600, 200)}
REQUIRES = ("PIL",)
READ_BY: tuple[str, ...] = ()

Progress = Callable[[int, int], None]
Cadence = NDArray[np.float32]


def folders(size: str) -> list[str]:
    """Return the names of the folders that are written."""
    return ["train", "test", "tfrecords"]


def write(folder: Path, size: str, progress: Progress) -> None:
    """Write the files and tables of a size."""
    generator = np.random.default_rng([42, len(size)])
    counts = SIZES[size]
    total = counts.train + counts.test
    targets = generator.permutation(np.arange(counts.train) < round(_SIGNAL_SHARE * counts.train)).astype(int).tolist()
    ids = _draw_ids(total, generator)
    shards: dict[tuple[str, int], list[bytes]] = {}
    for row, name in enumerate(ids):
        progress(row, total)
        known = row < counts.train
        target = targets[row] if known else int(generator.random() < _SIGNAL_SHARE)
        cadence = _draw_cadence(target, generator)
        part = "train" if known else "test"
        file = folder / part / name[0] / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, cadence.astype(np.float16))
        shard = row % (_SHARDS if known else _TEST_SHARDS)
        shards.setdefault((part, shard), []).append(_make_example(name, target if known else None, cadence))
    _write_table(folder / "train_labels.csv", ids[: counts.train], targets)
    _write_table(folder / "sample_submission.csv", sorted(ids[counts.train :]), [0.5] * counts.test)
    (folder / "tfrecords").mkdir()
    for (part, number), records in shards.items():
        write_records(folder / "tfrecords" / f"{part}{number:02d}-{len(records)}.tfrec", records)
    progress(total, total)


def _draw_ids(count: int, generator: np.random.Generator) -> list[str]:
    return [bytes(row).hex() for row in generator.integers(0, 256, (count, 6), dtype=np.uint8)]


def _draw_cadence(target: int, generator: np.random.Generator) -> Cadence:
    cadence = generator.standard_normal((POSITIONS, HEIGHT, WIDTH), dtype=np.float32)
    for _ in range(int(generator.integers(0, 3))):
        cadence += _INTERFERENCE_BRIGHTNESS * _draw_line(generator.uniform(0, WIDTH), 0.0)
    if target:
        drift = float(generator.uniform(0.15, 0.6) * generator.choice([-1, 1]))
        start = generator.uniform(0.2, 0.8) * WIDTH
        brightness = _FAINT_BRIGHTNESS if generator.random() < _FAINT_SHARE else _SIGNAL_BRIGHTNESS
        for position in ON_TARGET:
            cadence[position] += brightness * _draw_line(start + drift * position * 20, drift)
    return cadence


def _draw_line(start: float, drift: float) -> Cadence:
    """Draw a line three pixels wide that moves by ``drift`` pixels per row, and comes in again at the other side."""
    centre = (start + drift * np.arange(HEIGHT))[:, None]
    distance = np.abs((np.arange(WIDTH)[None] - centre + WIDTH / 2) % WIDTH - WIDTH / 2)
    return np.asarray(np.exp(-((distance / 1.5) ** 2)), dtype=np.float32)


def _make_example(name: str, target: int | None, cadence: Cadence) -> bytes:
    """Make an image whose colours are the positions on target, from -4 to 8 standard deviations."""
    from PIL import Image

    scaled = (np.moveaxis(cadence[list(ON_TARGET)], 0, -1) + 4) * (255 / 12)
    png = io.BytesIO()
    Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).save(png, "PNG")
    known = {} if target is None else {"target": target}
    return serialize_example({"image_id": name.encode(), "image": png.getvalue(), **known})


def _write_table(path: Path, ids: list[str], targets: list[int] | list[float]) -> None:
    rows = "".join(f"{name},{target}\n" for name, target in zip(ids, targets, strict=True))
    path.write_text(f"id,target\n{rows}")
