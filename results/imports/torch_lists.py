"""Lists of ``{logits, target, sample_id}`` that torch has saved, read without executing anything in them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.errors import UsageError
from seedfold.results.imports.rows import PredictionRows, ReadOptions, Texts, class_numbers, make_rows, refuse_value

ROW_KEYS = ("logits", "target", "sample_id")
SPLIT_PREFIXES = ("dev_cal", "dev_test", "app_test")
"""Splits that the ids of published files begin with, as in ``app_test_0001``."""


def read_torch_list(file: Path, options: ReadOptions) -> PredictionRows:
    """Read a list of predictions; the ids give the splits if all of them begin with one of `SPLIT_PREFIXES`.

    Raises UsageError for a file that torch would have to execute, or rows that are not predictions.
    """
    rows = _load_list(file)
    if not isinstance(rows, list):
        raise UsageError(f"{file}: expected a list of {{logits, target, sample_id}}, found {type(rows).__name__}")
    if not rows:
        raise UsageError(f"{file}: has no rows")
    for number, row in enumerate(rows):
        _check_row(file, number, row, rows[0], options)
    ids = np.array([row["sample_id"] for row in rows], dtype=object)
    logits = np.array([np.asarray(row["logits"], dtype=np.float32) for row in rows])
    return make_rows(
        file, ids, _targets(file, rows, options), logits.reshape(len(rows), -1), _splits_from_ids(ids), options
    )


def _targets(file: Path, rows: Sequence[Any], options: ReadOptions) -> NDArray[np.float64]:
    given = [row.get("target") for row in rows]
    if options.classes:
        names = np.array([None if target is None else str(_plain(target)) for target in given], dtype=object)
        return class_numbers(file, names, options)
    return np.array([np.nan if target is None else float(target) for target in given])


def _plain(target: Any) -> Any:
    """A text or a number, of a tensor of one number too."""
    return target if isinstance(target, str) else np.asarray(target).item()


def _load_list(file: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{file}: cannot be read as a list of tensors, numbers and strings: {reason}") from error


def _check_row(file: Path, number: int, row: Any, first: Any, options: ReadOptions) -> None:
    for key in ROW_KEYS:
        if key == "target" and options.unlabelled and isinstance(row, dict):
            continue
        if not isinstance(row, dict) or key not in row:
            refuse_value(file, number, key, f"missing; a row has {', '.join(ROW_KEYS)}")
    if not isinstance(row["sample_id"], str):
        refuse_value(file, number, "sample_id", f"{row['sample_id']!r} is not a string")
    shape, first_shape = (tuple(np.shape(each_row["logits"])) for each_row in (row, first))
    if shape != first_shape or len(shape) != 1 or shape == (0,):
        refuse_value(
            file, number, "logits", f"shape {shape}; row 1 has {first_shape}, and a row has one logit per class"
        )
    _check_target(file, number, row.get("target"), options)


def _check_target(file: Path, number: int, given: Any, options: ReadOptions) -> None:
    if given is None and options.unlabelled:
        return
    if isinstance(given, str):
        if not options.classes:
            problem = f"{given!r} is not a number; name the classes, in the order of the logits: --classes NAME,NAME,…"
            refuse_value(file, number, "target", problem)
        return
    target = np.asarray(given)
    if target.size != 1 or target.dtype.kind not in "iuf":
        refuse_value(file, number, "target", "is not a single class number")


def _splits_from_ids(ids: Texts) -> Texts | None:
    found: Sequence[str | None] = [next((p for p in SPLIT_PREFIXES if name.startswith(f"{p}_")), None) for name in ids]
    return None if None in found else np.array(found, dtype=object)
