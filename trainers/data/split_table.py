"""The split table of a study of shifts: which samples are for training, calibration, testing, and the deployment.

Of n samples in k classes, in this order and class by class:

1. ``dev_test`` gets int(0.1 · n / k) samples of every class, so that it is balanced;
2. ``app_test``, the deployment, gets round(0.3 / 0.9 · rest) of the rest, so that it keeps the classes' shares;
3. ``dev_cal``, the validation, gets round(0.1 / 0.6 · rest) of what is then left; ``train`` gets the others.

Halves are rounded to the even number. The samples of a class, sorted by id, are shuffled by a stable sort of the raw
64-bit numbers of NumPy's PCG64, seeded with (seed, class): NumPy never changes this stream. A table is thus a
function of the ids, the targets, the fractions and the seed, and not of the order of the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers.data.samples import Indices

SPLIT_FILE = "split.csv"
SPLITS = ("train", "dev_cal", "dev_test", "app_test")


@dataclass(frozen=True)
class Fractions:
    """Shares of all samples; ``most`` is the largest share of a class that the balanced split may take."""

    dev_test: float = 0.1
    app_test: float = 0.3
    dev_cal: float = 0.1
    most: float = 0.35

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Fractions:
        """Read ``task.split``; raises ConfigFailure for shares that are not valid."""
        try:
            fractions = cls(**{key: float(value) for key, value in settings.items()})
        except (TypeError, ValueError) as error:
            raise ConfigFailure(f"task.split: {error}; it has {', '.join(asdict(cls()))}") from error
        if min(fractions.dev_test, fractions.app_test, fractions.dev_cal) < 0 or fractions.rest_after_all <= 0:
            raise ConfigFailure("task.split: the shares must not be negative, and must leave some to train on")
        return fractions

    @property
    def rest_after_dev_test(self) -> float:
        """Return the share that steps 2 and 3 divide."""
        return _round_share(1 - self.dev_test)

    @property
    def rest_after_app_test(self) -> float:
        """Return the share that step 3 divides."""
        return _round_share(1 - self.dev_test - self.app_test)

    @property
    def rest_after_all(self) -> float:
        """Return the share for training."""
        return _round_share(1 - self.dev_test - self.app_test - self.dev_cal)


def _round_share(share: float) -> float:
    """Remove the error of binary fractions: 1 - 0.1 - 0.3 must be exactly 0.6, so that halves are rounded as halves."""
    return round(share, 12)


def make_split_counts(class_counts: Sequence[int], fractions: Fractions) -> dict[str, list[int]]:
    """Return the samples of each class in each split; raises DataFailure naming a class that is too small."""
    dev_test = int(fractions.dev_test * sum(class_counts) / len(class_counts))
    for number, count in enumerate(class_counts):
        if dev_test > fractions.most * count:
            raise DataFailure(
                f"class {number}: has {count} samples, of which dev_test would take {dev_test}, more than "
                f"{fractions.most:.0%}; leave the class out, or lower task.split.dev_test"
            )
    rest = [count - dev_test for count in class_counts]
    app_test = [round(count * (fractions.app_test / fractions.rest_after_dev_test)) for count in rest]
    remaining = [count - app for count, app in zip(rest, app_test, strict=True)]
    dev_cal = [round(count * (fractions.dev_cal / fractions.rest_after_app_test)) for count in remaining]
    train = [count - cal for count, cal in zip(remaining, dev_cal, strict=True)]
    return {"train": train, "dev_cal": dev_cal, "dev_test": [dev_test] * len(rest), "app_test": app_test}


@dataclass(frozen=True)
class SplitTable:
    """The samples of a task, sorted by id: ``ids``, ``splits`` and ``targets`` of each."""

    ids: tuple[str, ...]
    splits: tuple[str, ...]
    targets: Indices

    def class_counts(self, classes: int) -> dict[str, list[int]]:
        """Return the number of samples of each class in each split."""
        splits = np.asarray(self.splits)
        return {split: np.bincount(self.targets[splits == split], minlength=classes).tolist() for split in SPLITS}


def draw_split(ids: Sequence[str], targets: Indices, classes: int, fractions: Fractions, seed: int) -> SplitTable:
    """Divide samples; raises DataFailure naming a class that is too small, ConfigFailure for a negative seed."""
    if seed < 0:
        raise ConfigFailure(f"split_seed: {seed} is negative; seeds are 0 or more")
    counts = make_split_counts(np.bincount(targets, minlength=classes).tolist(), fractions)
    sorted_rows = np.asarray(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    sorted_targets = targets[sorted_rows]
    splits = np.empty(len(ids), dtype=object)
    for number in range(classes):
        members = _shuffle_members(np.flatnonzero(sorted_targets == number), seed, number)
        drawn = ("dev_test", "app_test", "dev_cal", "train")
        splits[members] = np.repeat(drawn, [counts[split][number] for split in drawn])
    return SplitTable(tuple(ids[place] for place in sorted_rows), tuple(splits), sorted_targets)


def _shuffle_members(members: Indices, seed: int, number: int) -> Indices:
    keys = np.random.PCG64(np.random.SeedSequence([seed, number])).random_raw(len(members))
    return members[np.argsort(keys, kind="stable")]


def write_split(path: Path, table: SplitTable) -> None:
    """Write a table as CSV, the same bytes for the same table."""
    import csv

    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample_id", "split", "target"])
        writer.writerows(zip(table.ids, table.splits, table.targets.tolist(), strict=True))


def read_split(path: Path) -> SplitTable:
    """Read what `write_split` wrote; raises DataFailure if the file is not a split table."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    types = {"sample_id": pa.string(), "split": pa.string(), "target": pa.int64()}
    try:
        rows = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(use_threads=False),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
        columns = [rows.column(name).to_pylist() for name in types]
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise DataFailure(f"{path}: is not a split table: {error}") from error
    ids, splits, targets = columns
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise DataFailure(f"{path}: no split {unknown[0]!r}; splits are {', '.join(SPLITS)}")
    return SplitTable(tuple(ids), tuple(splits), np.asarray(targets, dtype=np.int64))
