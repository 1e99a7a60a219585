"""Test predictions that were made elsewhere, such as the submission of somebody else, added to a blend.

They have no out-of-fold predictions. So they change what a blend predicts for test samples, and none of its scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError, count_noun, did_you_mean

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExternalPredictions:
    """Probabilities (n, m) of class 1 in m ``files``, and the share (m,) of each file in the blend."""

    files: tuple[str, ...]
    values: Array
    shares: Array

    def blend(self, test: Array) -> Array:
        """Return the test predictions (n,) of a blend together with those of the files."""
        return np.asarray((1 - self.shares.sum()) * test + self.values @ self.shares)


def read_external(
    files: Mapping[Path, float], samples: Sequence[str], columns: tuple[str, str], member_weight: float
) -> ExternalPredictions:
    """Read CSV files by the weight of each, on the scale on which all members together have ``member_weight``.

    ``columns`` are those of the sample and of the probability; ``samples`` are the test samples, which each file must
    have, and no others. Raises UsageError, with the file, for anything else.
    """
    weights = np.array(list(files.values()), dtype=np.float64)
    values = np.stack([_read_file(file, samples, *columns) for file in files], axis=1)
    return ExternalPredictions(
        tuple(file.name for file in files), values, np.asarray(weights / (member_weight + weights.sum()))
    )


def _read_file(file: Path, samples: Sequence[str], identifier: str, target: str) -> Array:
    import pandas as pd

    where = f"blend.external: {file}"
    try:
        table = pd.read_csv(file, dtype={identifier: "string"})
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
    for name in (identifier, target):
        if name not in table:
            raise UsageError(f"{where}: no column {name!r}{did_you_mean(name, [*map(str, table)])}")
    found = pd.to_numeric(table.set_index(identifier)[target], errors="coerce")
    if found.index.has_duplicates:
        raise UsageError(f"{where}: sample {found.index[found.index.duplicated()][0]} is there more than once")
    for samples_lacking, text in (
        (pd.Index(samples).difference(found.index), "lacks"),
        (found.index.difference(pd.Index(samples)), "has more than the test samples:"),
    ):
        if len(samples_lacking):
            raise UsageError(f"{where}: {text} {count_noun(len(samples_lacking), 'sample')} ({samples_lacking[0]})")
    wrong = found.index[~found.between(0, 1)]
    if len(wrong):
        raise UsageError(f"{where}: sample {wrong[0]}: {target!r} is not a probability between 0 and 1")
    return np.asarray(found.loc[list(samples)], dtype=np.float64)
