"""Samples in the order of their errors: the log loss of a class, the distance of a number to its target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seedfold.results.store.metrics import log_probabilities
from seedfold.results.store.predictions import HeadPredictions

Floats = npt.NDArray[np.float64]


def sample_errors(head: HeadPredictions) -> Floats:
    """Return the error of each row (n,); NaN where the target is not known."""
    if head.is_regression:
        errors = np.abs(head.logits[:, 0].astype(np.float64) - head.targets)
    else:
        targets = np.where(head.known, head.targets, 0).astype(np.int64)
        log_p = np.asarray(log_probabilities(head.logits), dtype=np.float64)
        errors = -log_p[np.arange(len(targets)), targets]
    return np.where(head.known, errors, np.nan)


def rank_rows(errors: Sequence[Floats]) -> npt.NDArray[np.int64]:
    """Return (head, row) of all rows of all heads (m, 2), the largest error first, and unknown ones last."""
    if not errors:
        return np.empty((0, 2), dtype=np.int64)
    places = [np.stack([np.full(len(own), number), np.arange(len(own))], axis=1) for number, own in enumerate(errors)]
    order = np.argsort(-np.concatenate(errors), kind="stable")
    return np.concatenate(places)[order].astype(np.int64)


def find_worst(heads: Sequence[HeadPredictions], count: int) -> list[int]:
    """Return the rows of the ``count`` samples with the largest error of any head; none whose target is not known."""
    errors = [sample_errors(head) for head in heads]
    ranked = (int(row) for number, row in rank_rows(errors) if not np.isnan(errors[number][row]))
    return list(dict.fromkeys(ranked))[:count]
