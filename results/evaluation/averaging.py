"""The mean of several members' predictions of one head, sample by sample, in a fixed order of addition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.pooling import check_same_kind
from seedfold.results.store.metrics import Scores, classification_metrics, probabilities, regression_metrics
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanPredictions:
    """``values`` (n, k): mean probabilities of the classes, or the mean prediction (n, 1) of a regression head.

    ``first_member`` are those of the first member, for sample ids and targets.
    """

    first_member: HeadPredictions
    values: Doubles
    member_count: int

    def metrics(self) -> Scores:
        """Return the metrics over the samples whose target is known; empty if none is."""
        known = self.first_member.known
        targets, values = self.first_member.targets[known], self.values[known]
        if self.first_member.is_regression:
            return regression_metrics(targets, values[:, 0])
        return classification_metrics(targets, np.log(np.maximum(values, np.finfo(np.float64).tiny)))


class RunningMean:
    """Adds members up. They must hold the same samples, in any order, with the same targets.

    The order of addition is that of the calls, so that the same members give the same bits.
    """

    def __init__(self, first: HeadPredictions, jobs: str) -> None:
        self._first = first
        self._first_jobs = jobs
        self._total: Doubles = np.zeros_like(_averaged_values(first))
        self._members = 0

    def add(self, head: HeadPredictions, jobs: str) -> None:
        """Add a member; ``jobs`` names its jobs. Raises UsageError if it holds other samples, targets or classes."""
        both = f"jobs {self._first_jobs} and {jobs}"
        check_same_kind(self._first, head, both)
        order = self._row_order(head, both)
        if not self._has_same_targets(head, order):
            raise UsageError(f"{both}: head {head.head!r}: targets of the same samples differ; select runs of one task")
        self._total += _averaged_values(head)[order]
        self._members += 1

    def mean(self) -> MeanPredictions:
        """Return the mean of what was added."""
        return MeanPredictions(self._first, self._total / self._members, self._members)

    def _row_order(self, head: HeadPredictions, both: str) -> Any:
        if self._first.ids.equals(head.ids):
            return slice(None)
        order = _sample_index(head).get_indexer(_sample_index(self._first))
        missing = int((order < 0).sum())
        extra = len(head.ids) - (len(order) - missing)
        if missing or extra:
            raise UsageError(
                f"{both}: head {head.head!r}: members hold different samples ({missing} only in the first, "
                f"{extra} only in the second); average over an axis that leaves the samples alone, "
                "and name the fold axis"
            )
        return order

    def _has_same_targets(self, head: HeadPredictions, order: Any) -> bool:
        known = self._first.known
        same = np.array_equal(known, head.known[order])
        return same and np.array_equal(self._first.targets[known], head.targets[order][known])


def _sample_index(head: HeadPredictions) -> pd.Index[Any]:
    import pandas as pd

    return pd.Index(head.sample_ids)


def _averaged_values(head: HeadPredictions) -> Doubles:
    return head.logits.astype(np.float64) if head.is_regression else probabilities(head.logits)
