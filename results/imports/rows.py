"""The rows of one file of predictions, checked: errors name file, row and column.

Rows count from 1, without the header. Row order is kept, because later random draws depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError, did_you_mean

Texts = NDArray[np.object_]
UNKNOWN = -1
"""Stands for the class of a sample without a label."""


@dataclass(frozen=True)
class ReadOptions:
    """How files are read: the column of splits, None for `split`; the ``classes`` by name, in the order of the logits.

    ``unlabelled``: targets may be missing.
    """

    split_column: str | None = None
    classes: tuple[str, ...] = ()
    unlabelled: bool = False


@dataclass(frozen=True)
class PredictionRows:
    """n rows: ids (n,), classes (n,), logits (n, k) in single precision, and splits (n,) if the file has them.

    A class is `UNKNOWN` where a sample has no label.
    """

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


def class_numbers(file: Path, names: Texts, options: ReadOptions) -> NDArray[np.float64]:
    """Return the numbers (n,) of classes given by name, NaN where there is no name.

    Raises UsageError for a name that is not one of ``options.classes``.
    """
    numbers = {name: number for number, name in enumerate(options.classes)}
    for row, name in enumerate(names):
        if name is not None and name not in numbers:
            listed = ", ".join(options.classes)
            refuse_value(
                file, row, "target", f"{name!r} is not one of the classes {listed}{did_you_mean(name, numbers)}"
            )
    return np.array([np.nan if name is None else numbers[name] for name in names], dtype=np.float64)


def make_rows(
    file: Path, ids: Texts, targets: NDArray[Any], logits: NDArray[Any], splits: Texts | None, options: ReadOptions
) -> PredictionRows:
    """Return rows whose every value can be kept. Raises UsageError for the first that cannot.

    ``targets`` (n,) and ``logits`` (n, k) are real numbers, NaN where there was none.
    """
    if not len(ids):
        raise UsageError(f"{file}: has no rows")
    for name, texts in (("sample_id", ids), *([("split", splits)] if splits is not None else [])):
        _refuse_first(file, name, np.array([not text for text in texts]), texts, "empty")
    _check_repeated(file, ids, splits)
    _check_logits(file, logits)
    classes = max(2, logits.shape[1])
    if options.classes and len(options.classes) != classes:
        raise UsageError(f"{file}: has {classes} classes; --classes names {len(options.classes)}")
    unknown = np.isnan(targets) if options.unlabelled else np.zeros(len(targets), dtype=np.bool_)
    targets = np.where(unknown, UNKNOWN, targets)
    _check_targets(file, targets, unknown, classes)
    return PredictionRows(file, ids, targets.astype(np.int64), logits.astype(np.float32), splits)


def _check_repeated(file: Path, ids: Texts, splits: Texts | None) -> None:
    import pandas as pd

    keys = pd.DataFrame({"id": ids} | ({} if splits is None else {"split": splits}))
    repeated = keys.duplicated().to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        first = int(np.argmax((keys == keys.iloc[row]).all(axis=1)))
        refuse_value(file, row, "sample_id", f"{ids[row]!r} occurs already in row {first + 1}")


def _check_logits(file: Path, logits: NDArray[Any]) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(logits.astype(np.float32))
    if not finite.all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        refuse_value(file, row, f"logit_{column}", f"{logits[row, column]} is not a finite number")


def _check_targets(file: Path, targets: NDArray[Any], unknown: NDArray[np.bool_], classes: int) -> None:
    problem = "is not a class; --unlabelled accepts samples whose class is not known"
    _refuse_first(file, "target", np.isnan(targets), [None] * len(targets), problem)
    _refuse_first(file, "target", ~(targets == np.floor(targets)), targets, "is not a class number")
    outside = ((targets < 0) | (targets >= classes)) & ~unknown
    _refuse_first(
        file, "target", outside, targets, f"is not one of the classes 0 to {classes - 1} that the logits have"
    )


def _refuse_first(file: Path, column: str, is_wrong: NDArray[np.bool_], values: Any, problem: str) -> None:
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        value = values[row]
        shown = "" if isinstance(value, str) or value is None else f"{value:g} "
        refuse_value(file, row, column, shown + problem)
