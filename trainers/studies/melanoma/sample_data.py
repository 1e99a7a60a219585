"""Sample data of ``melanoma``: photographs of skin lesions as JPEG files, and tables about the patients.

A patient has one or several lesions. Older patients, men, and some sites have more melanomas; these look larger, darker
and more uneven, though many do not. Sex, age and site are missing here and there, as an empty field or ``unknown``.
``external`` is an archive of earlier years with the same layout, finer sites and no patients; ``train_extended.csv`` is
both tables.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REQUIRES = ("PIL",)
READ_BY = ("melanoma_metadata",)
COLUMNS = (
    "image_name",
    "patient_id",
    "sex",
    "age_approx",
    "anatom_site_general_challenge",
    "diagnosis",
    "benign_malignant",
    "target",
)
_TEST_COLUMNS = 5
"""The first columns; a test table has only these."""
_SEED = 2020
_MELANOMA_SHARE = 0.175
"""The share of melanomas: ten times that of the real data, so that every fold has some."""
_MISSING_SHARE = 0.04
_SITES = {"torso": 0.0, "lower extremity": -0.4, "upper extremity": 0.3, "head/neck": 1.0, "palms/soles": -0.8}
_ARCHIVE_SITES = {"torso": ("anterior torso", "posterior torso", "lateral torso")}
"""Sites that the archive distinguishes."""
_SITE_FREQUENCIES = (0.5, 0.25, 0.15, 0.07, 0.03)
_BENIGN_DIAGNOSES = ("unknown", "nevus", "seborrheic keratosis", "lentigo NOS")

Progress = Callable[[int, int], None]
Array = NDArray[np.float64]
Row = tuple[str, ...]


@dataclass(frozen=True)
class _SampleSize:
    train: int
    test: int
    external: int
    height: int
    width: int


SIZES = {"tiny": _SampleSize(200, 60, 150, 48, 64), "small": _SampleSize(900, 300, 900, 96, 128)}


@dataclass(frozen=True)
class _Lesion:
    """A lesion; the larger ``risk``, the more likely it is a melanoma."""

    patient: str
    sex: str
    age: str
    site: str
    risk: float


def folders(size: str) -> list[str]:
    """Name the folders of images."""
    return ["jpeg", "external"]


def write(folder: Path, size: str, progress: Progress) -> None:
    """Write the tables and photographs of a size."""
    chosen = SIZES[size]
    generator = np.random.default_rng([_SEED, len(size)])
    parts = (("train", chosen.train), ("test", chosen.test), ("external", chosen.external))
    total, numbers = sum(count for _, count in parts), iter(generator.permutation(900_000).tolist())
    tables: dict[str, list[Row]] = {}
    for part, count in parts:
        lesions = _draw_lesions(count, generator, for_archive=part == "external")
        targets = _draw_targets(lesions, generator)
        images = folder / ("external/jpeg/train" if part == "external" else f"jpeg/{part}")
        images.mkdir(parents=True)
        for lesion, target in zip(lesions, targets, strict=True):
            row = _table_row(f"ISIC_{next(numbers):07d}", lesion, target, generator)
            tables.setdefault(part, []).append(row)
            _write_jpeg(images / f"{row[0]}.jpg", _draw_photograph(target, (chosen.height, chosen.width), generator))
            progress(sum(map(len, tables.values())), total)
    _write_tables(folder, tables)


def _write_tables(folder: Path, tables: dict[str, list[Row]]) -> None:
    _write_table(folder / "train.csv", COLUMNS, tables["train"])
    _write_table(folder / "external" / "train.csv", COLUMNS, tables["external"])
    _write_table(folder / "train_extended.csv", COLUMNS, [*tables["train"], *tables["external"]])
    _write_table(folder / "test.csv", COLUMNS[:_TEST_COLUMNS], [row[:_TEST_COLUMNS] for row in tables["test"]])
    submitted = [(row[0], "0") for row in tables["test"]]
    _write_table(folder / "sample_submission.csv", ("image_name", "target"), submitted)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _draw_lesions(count: int, generator: np.random.Generator, *, for_archive: bool) -> list[_Lesion]:
    found: list[_Lesion] = []
    while len(found) < count:
        found += _draw_patient(generator, for_archive)
    return [found[row] for row in generator.permutation(count)]


def _draw_patient(generator: np.random.Generator, for_archive: bool) -> Iterator[_Lesion]:
    """Draw all lesions of one patient."""
    patient = "" if for_archive else f"IP_{int(generator.integers(10_000_000)):07d}"
    sex = str(generator.choice(["male", "female"]))
    age = int(np.clip(generator.normal(50, 15), 5, 90)) // 5 * 5
    recorded_sex = str(generator.choice(["", "unknown"])) if generator.random() < _MISSING_SHARE else sex
    recorded_age = "" if generator.random() < _MISSING_SHARE else f"{age}.0"
    for _ in range(1 if for_archive else int(generator.geometric(0.3))):
        site = str(generator.choice(list(_SITES), p=_SITE_FREQUENCIES))
        risk = (age - 50) / 15 + 0.5 * (sex == "male") + _SITES[site]
        yield _Lesion(patient, recorded_sex, recorded_age, _recorded_site(site, generator, for_archive), risk)


def _recorded_site(site: str, generator: np.random.Generator, for_archive: bool) -> str:
    if generator.random() < _MISSING_SHARE:
        return ""
    return str(generator.choice(_ARCHIVE_SITES.get(site, (site,)))) if for_archive else site


def _draw_targets(lesions: Sequence[_Lesion], generator: np.random.Generator) -> list[bool]:
    """Draw the given share of melanomas: the lesions with the highest sum of risk and chance."""
    scores = np.array([lesion.risk for lesion in lesions]) + generator.logistic(0, 1.2, len(lesions))
    melanomas = np.argsort(-scores)[: round(_MELANOMA_SHARE * len(lesions))]
    return np.isin(np.arange(len(lesions)), melanomas).tolist()  # type: ignore[no-any-return]


def _table_row(name: str, lesion: _Lesion, target: bool, generator: np.random.Generator) -> Row:
    diagnosis = "melanoma" if target else str(generator.choice(_BENIGN_DIAGNOSES, p=(0.7, 0.2, 0.07, 0.03)))
    kind = "malignant" if target else "benign"
    return (name, lesion.patient, lesion.sex, lesion.age, lesion.site, diagnosis, kind, str(int(target)))


def _draw_photograph(target: bool, size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a lesion on skin (height, width, 3)."""
    height, width = size
    y, x = np.mgrid[:height, :width] / height
    x, y = x - width / height / 2 - generator.normal(0, 0.06), y - 0.5 - generator.normal(0, 0.06)
    severity = max(0.0, generator.normal(0.6 if target else 0.15, 0.25))
    radius = generator.normal(0.24 + 0.08 * severity, 0.04) * (
        1 + _draw_border(np.arctan2(y, x), 0.3 * severity, generator)
    )
    inside = 1 / (1 + np.exp((np.hypot(x, y) - radius) / (0.02 + 0.02 * generator.random())))
    depth = generator.normal(0.45 + 0.15 * severity, 0.1) + _draw_patches(x, y, 0.05 + 0.2 * severity, generator)
    skin = np.array([225, 180, 155]) * generator.normal(1, 0.04) + generator.normal(0, 5, (height, width, 1))
    shaded = skin * (1 - np.clip(inside * depth, 0, 0.95)[..., None] * np.array([0.75, 0.95, 1.0]))
    return np.asarray(np.clip(shaded, 0, 255), dtype=np.uint8)


def _draw_border(angle: Array, strength: float, generator: np.random.Generator) -> Array:
    """Draw a border: a few waves around the middle."""
    waves = [np.sin(n * angle + generator.uniform(0, 2 * np.pi)) / n for n in (2, 3, 5, 7)]
    return np.asarray(strength * sum(float(generator.normal()) * wave for wave in waves))


def _draw_patches(x: Array, y: Array, strength: float, generator: np.random.Generator) -> Array:
    """Draw patches: a few waves in all directions."""
    waves = [np.sin(a * x + b * y + phase) for a, b, phase in generator.normal(0, 14, (4, 3))]
    return np.asarray(strength * sum(waves) / 2)


def _write_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path, "JPEG", quality=90)
