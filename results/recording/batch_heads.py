"""A batch of predictions as people have it, brought into the form of the store: targets and logits for each head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.jobs.work import DataFailure

Array = npt.NDArray[Any]
_LEAST = float(np.finfo(np.float32).tiny)
"""Replaces a probability of 0, which has no finite logarithm."""
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class HeadBatch:
    """Targets (n,), or None where none is known, and logits (n, k) of one head."""

    targets: Array | None
    logits: Array


def to_heads(split: str, head: str, target: Any, given: Mapping[str, Any]) -> dict[str, HeadBatch]:
    """Return the batch of each head: of the one named, or of one for each label if ``target`` has labels (n, k).

    ``given`` has ``logits``, ``probabilities`` and ``values``, of which one is not None.
    """
    place = f"predictions of split {split!r}, head {head!r}"
    kinds = [kind for kind, output in given.items() if output is not None]
    if len(kinds) != 1:
        raise DataFailure(f"{place}: give one of logits, probabilities and values; given: {', '.join(kinds) or 'none'}")
    output, truth = to_array(given[kinds[0]]), None if target is None else to_array(target)
    if truth is not None and truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if truth is not None and truth.ndim == 2:
        return _label_heads(place, head, truth, output, kinds[0])
    columns = output[:, None] if output.ndim == 1 else output
    return {head: _make_batch(place, truth, columns, kinds[0])}


def _label_heads(place: str, head: str, targets: Array, output: Array, kind: str) -> dict[str, HeadBatch]:
    """Take apart targets (n, k) and outputs (n, k) of k labels that do not exclude each other."""
    if output.shape != targets.shape:
        raise DataFailure(f"{place}: targets {targets.shape} and {kind} {output.shape} have to have one shape")
    heads = {}
    for number in range(targets.shape[1]):
        name = f"label_{number}" if head == "main" else f"{head}_{number}"
        heads[name] = _make_batch(place, targets[:, number], output[:, number : number + 1], kind)
    return heads


def _make_batch(place: str, targets: Array | None, columns: Array, kind: str) -> HeadBatch:
    if kind == "values":
        return HeadBatch(None if targets is None else targets.astype(np.float64), columns)
    logits = _to_logits(place, columns) if kind == "probabilities" else columns
    return HeadBatch(None if targets is None else _to_classes(place, targets), logits)


def _to_classes(place: str, targets: Array) -> Array:
    """Return class numbers, masked where unknown, of targets that may be floats, as losses of one logit want them."""
    if targets.dtype.kind != "f":
        return targets
    known = ~np.ma.getmaskarray(np.ma.asarray(targets)) & ~np.isnan(np.ma.getdata(targets))
    numbers = np.where(known, np.ma.getdata(targets), 0)
    if (numbers != np.round(numbers)).any():
        raise DataFailure(f"{place}: targets are not classes; the outputs of a regression are given as values=")
    return np.ma.masked_array(numbers.astype(np.int64), mask=~known)


def to_array(values: Any) -> Array:
    """Return an array of a list, an array or a tensor, wherever its device is."""
    for method in ("detach", "cpu"):
        values = getattr(values, method, lambda values=values: values)()
    if str(getattr(values, "dtype", "")) == "torch.bfloat16":
        values = values.float()
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _to_logits(place: str, probabilities: Array) -> Array:
    """Return logits (n, k): logarithms of probabilities, or the logit of class 1 if there is one column."""
    values = np.asarray(probabilities, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataFailure(f"{place}: probabilities have to be between 0 and 1")
    if values.shape[1] == 1:
        return np.asarray(np.log(np.maximum(values, _LEAST)) - np.log(np.maximum(1 - values, _LEAST)))
    if (np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE * values.shape[1]).any():
        raise DataFailure(f"{place}: the probabilities of all classes have to sum to 1")
    return np.asarray(np.log(np.maximum(values, _LEAST)))
