"""What predictions must be before they are written: every expected sample once, finite, and of fitting shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.ma  # where it is first used otherwise, which is in each job
import numpy.typing as npt

from seedfold.jobs.work import DataFailure, NonFiniteFailure

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets (n,), int64 or float64, and which of them are known (n,)."""

    values: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]


def _list_some(ids: Collection[str]) -> str:
    first = ", ".join(repr(each) for each in list(ids)[:3])
    return f"{len(ids)} ({first}{', …' if len(ids) > 3 else ''})"


def check_ids(split: str, sample_ids: Sequence[str], expected: Collection[str]) -> None:
    """Raise DataFailure for repeated, missing or unexpected ids, with their number and the first three of them."""
    ids_given = set(sample_ids)
    if len(ids_given) == len(sample_ids) and _are_same_list(sample_ids, expected):
        return
    wanted, problems = set(expected), []
    if len(ids_given) != len(sample_ids):
        problems.append(("repeated", [each for each, count in Counter(sample_ids).items() if count > 1]))
    if ids_given != wanted:
        problems.append(("missing", [each for each in expected if each not in ids_given]))
        problems.append(("unexpected", [each for each in sample_ids if each not in wanted]))
    if problems:
        listed = "; ".join(f"{what} sample ids: {_list_some(ids)}" for what, ids in problems if ids)
        raise DataFailure(f"predictions of split {split!r}: {listed}")


def _are_same_list(left: Collection[str], right: Collection[str]) -> bool:
    """Whether two lists have the same ids in the same order, as most have: this needs no sets."""
    return left is right or (type(left) is type(right) and isinstance(left, list | tuple) and left == right)


def require_logits(split: str, head: str, values: npt.NDArray[Any], sample_ids: Sequence[str]) -> Floats:
    """Return logits as float32; raises DataFailure for a wrong shape, NonFiniteFailure for infinite or no numbers."""
    logits = np.asarray(values, dtype=np.float32)
    if logits.ndim != 2 or len(logits) != len(sample_ids) or logits.shape[1] == 0:
        raise DataFailure(
            f"predictions of split {split!r}, head {head!r}: shape {logits.shape}, expected ({len(sample_ids)}, k)"
        )
    not_finite = ~np.isfinite(logits).all(axis=1)
    if not_finite.any():
        named = _list_some([sample_ids[row] for row in np.flatnonzero(not_finite).tolist()])
        raise NonFiniteFailure(f"predictions of split {split!r}, head {head!r}: non-finite logits for samples: {named}")
    return logits


def require_targets(split: str, targets: npt.NDArray[Any] | None, sample_ids: Sequence[str]) -> Targets:
    """Return targets by kind and which are known; raises DataFailure for a wrong shape or type."""
    count = len(sample_ids)
    if targets is None:
        return Targets(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_))
    known = ~np.ma.getmaskarray(np.ma.asarray(targets))
    values = np.asarray(targets)
    if values.shape != (count,) or values.dtype.kind not in "iubf":
        found = f"shape {values.shape}, type {values.dtype}"
        raise DataFailure(f"targets of split {split!r}: {found}, expected ({count},) class numbers or real numbers")
    if values.dtype.kind != "f":
        return Targets(values.astype(np.int64), known)
    if np.isinf(values[known]).any():
        raise NonFiniteFailure(f"targets of split {split!r}: a target is infinite")
    return Targets(values.astype(np.float64), known & ~np.isnan(values))


def check_range(split: str, head: str, targets: Targets, width: int, sample_ids: Sequence[str]) -> None:
    """Raise DataFailure where targets do not fit a head of ``width`` logits."""
    place = f"targets of split {split!r}, head {head!r}"
    if targets.values.dtype.kind == "f":
        if width != 1 and targets.known.any():
            raise DataFailure(f"{place}: real-numbered targets need one logit, got {width}; classes must be integers")
        return
    classes = max(width, 2)
    outside = targets.known & ((targets.values < 0) | (targets.values >= classes))
    if outside.any():
        named = _list_some([sample_ids[row] for row in np.flatnonzero(outside).tolist()])
        raise DataFailure(f"{place}: classes outside 0…{classes - 1} for samples: {named}")
