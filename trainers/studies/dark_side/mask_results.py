"""The tables of jobs that predict volumes: the volumes, and the overlap of predicted and true masks.

``volumes.csv`` has a row per volume, ``overlaps.csv`` a row for each volume with a known mask, network, axis and
orientation; axis and orientation are empty for the mean of all. Probabilities are in ``PART/VOLUME.npy``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seedfold.results.evaluation.overlaps import METRICS, Overlap
from seedfold.results.store.published import MetricRecord

TEST_PART, NEW_PART = "test", "new"
"""The parts: volumes with known masks, and volumes without."""
ORIENTATIONS = ("original", "mirrored")
MEAN_NETWORK = "mean"
VOLUMES_FILE, OVERLAPS_FILE = "volumes.csv", "overlaps.csv"


@dataclass(frozen=True)
class VolumeRow:
    """A predicted volume, and the number of networks that predicted it."""

    part: str
    volume: str
    networks: int

    @property
    def file(self) -> str:
        """Return the file with its probabilities, float16, with the axes of masks."""
        return f"{self.part}/{self.volume}.npy"


@dataclass(frozen=True)
class OverlapRow:
    """Overlap of one pass over a volume with the true mask, in voxels; the mean of all has no axis or orientation."""

    volume: str
    network: str
    axis: int | None
    orientation: str | None
    common: int
    found: int
    true: int

    @classmethod
    def from_overlap(
        cls, volume: str, network: str, axis: int | None, orientation: str | None, overlap: Overlap
    ) -> OverlapRow:
        """Return the row of an overlap of this pass."""
        return cls(volume, network, axis, orientation, overlap.common, overlap.found, overlap.true)

    @property
    def overlap(self) -> Overlap:
        """Return the overlap, in voxels."""
        return Overlap(self.common, self.found, self.true)

    @property
    def pass_key(self) -> tuple[str, int | None, str | None]:
        """Return network, axis and orientation."""
        return self.network, self.axis, self.orientation


def write_tables(folder: Path, volumes: Sequence[VolumeRow], overlaps: Sequence[OverlapRow]) -> None:
    """Write both tables; the table of overlaps only if masks are known."""
    _write_table(folder / VOLUMES_FILE, volumes, VolumeRow)
    if overlaps:
        _write_table(folder / OVERLAPS_FILE, overlaps, OverlapRow)


def _write_table(file: Path, rows: Sequence[Any], kind: type[Any]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_volumes(folder: Path) -> list[VolumeRow]:
    """Read the volumes of a job's result."""
    with (folder / VOLUMES_FILE).open(newline="", encoding="utf-8") as stream:
        return [VolumeRow(row["part"], row["volume"], int(row["networks"])) for row in csv.DictReader(stream)]


def read_overlaps(folder: Path) -> list[OverlapRow]:
    """Read the overlaps of a job's result, none if no masks are known."""
    file = folder / OVERLAPS_FILE
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [_overlap_row(row) for row in csv.DictReader(stream)]


def _overlap_row(row: dict[str, str]) -> OverlapRow:
    numbers = {key: int(row[key]) for key in ("common", "found", "true")}
    axis = int(row["axis"]) if row["axis"] else None
    return OverlapRow(row["volume"], row["network"], axis, row["orientation"] or None, **numbers)


def sum_by_pass(rows: Iterable[OverlapRow]) -> dict[tuple[str, int | None, str | None], Overlap]:
    """Add up the volumes of each network, axis and orientation, in the order in which these first appear."""
    found: dict[tuple[str, int | None, str | None], Overlap] = {}
    for row in rows:
        found[row.pass_key] = found.get(row.pass_key, Overlap()) + row.overlap
    return found


def make_mask_metrics(rows: Iterable[OverlapRow]) -> list[MetricRecord]:
    """Return the metrics of every pass over all volumes; each pass is one head."""
    found = sum_by_pass(rows)
    several = len({network for network, _, _ in found} - {MEAN_NETWORK}) > 1
    return [
        MetricRecord(split=TEST_PART, head=_pass_head(look, several), metric=name, value=metric(overlap))
        for look, overlap in found.items()
        for name, metric in METRICS.items()
    ]


def _pass_head(pass_key: tuple[str, int | None, str | None], several: bool) -> str:
    network, axis, orientation = pass_key
    if axis is None:
        return MEAN_NETWORK
    text = f"axis {axis} {orientation}"
    return f"{network} {text}" if several else text
