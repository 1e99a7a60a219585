"""The rows of one file of predictions, checked: what is wrong is told with file, row and column.

Rows count from 1, without the header. Row order is kept: what is drawn at random later depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError

Texts = NDArray[np.object_]
_LOGIT = re.compile(r"logit_(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class PredictionRows:
    """n rows: ids (n,), classes (n,), logits (n, k) in single precision, and splits (n,) where they are told."""

    file: Path
    ids: Texts
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    splits: Texts | None = None

    def filter(self, chosen: NDArray[np.bool_]) -> PredictionRows:
        """The chosen rows, in their order."""
        return PredictionRows(self.file, self.ids[chosen], self.targets[chosen], self.logits[chosen])


def refuse_value(file: Path, row: int | None, column: str, problem: str) -> NoReturn:
    """Raise UsageError for one place of a file; ``row`` counts from 0."""
    place = f"row {row + 1}, column {column}" if row is not None else f"column {column}"
    raise UsageError(f"{file}: {place}: {problem}")


def logit_columns(file: Path, names: Sequence[str]) -> list[str]:
    """Return the columns of logits in the order of classes. Raises UsageError if one is missing or misspelt."""
    if len(names) == 1:
        refuse_value(file, None, names[0], "is the only one; commas go between the columns of a csv file")
    logit_names = [name for name in names if name.startswith("logit")]
    for name in logit_names:
        if not _LOGIT.fullmatch(name):
            refuse_value(file, None, name, "no such column is known; logits are logit_0, logit_1, …")
    wanted = [f"logit_{number}" for number in range(max(1, len(logit_names)))]
    for name in wanted:
        if name not in logit_names:
            refuse_value(file, None, name, "missing; a file has sample_id, target and one logit_N per class, from 0")
    return wanted


def make_rows(
    file: Path, ids: Texts, targets: NDArray[Any], logits: NDArray[Any], splits: Texts | None
) -> PredictionRows:
    """Return rows whose every value can be kept. Raises UsageError for the first that cannot.

    ``targets`` (n,) and ``logits`` (n, k) are real numbers, not a number where there was none.
    """
    if not len(ids):
        raise UsageError(f"{file}: has no rows")
    for name, texts in (("sample_id", ids), *([("split", splits)] if splits is not None else [])):
        _refuse_first(file, name, np.array([not text for text in texts]), texts, "empty")
    _check_repeated(file, ids, splits)
    _check_logits(file, logits)
    _check_targets(file, targets, max(2, logits.shape[1]))
    return PredictionRows(file, ids, targets.astype(np.int64), logits.astype(np.float32), splits)


def _check_repeated(file: Path, ids: Texts, splits: Texts | None) -> None:
    import pandas as pd

    keys = pd.DataFrame({"id": ids} | ({} if splits is None else {"split": splits}))
    repeated = keys.duplicated().to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        first = int(np.argmax((keys == keys.iloc[row]).all(axis=1)))
        refuse_value(file, row, "sample_id", f"{ids[row]!r} is there already, in row {first + 1}")


def _check_logits(file: Path, logits: NDArray[Any]) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(logits.astype(np.float32))
    if not finite.all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        refuse_value(file, row, f"logit_{column}", f"{logits[row, column]} is no finite number")


def _check_targets(file: Path, targets: NDArray[Any], classes: int) -> None:
    _refuse_first(file, "target", ~(targets == np.floor(targets)), targets, "is no class number")
    outside = (targets < 0) | (targets >= classes)
    _refuse_first(file, "target", outside, targets, f"is none of the classes 0 to {classes - 1} that the logits have")


def _refuse_first(file: Path, column: str, is_wrong: NDArray[np.bool_], values: NDArray[Any], problem: str) -> None:
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        value = values[row]
        shown = "" if isinstance(value, str) or value is None else f"{value:g} "
        refuse_value(file, row, column, shown + problem)
