"""Receiver operating characteristic and precision-recall curves of pooled out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seedfold.results.evaluation.axes import Group, Selection
from seedfold.results.evaluation.folds import Over
from seedfold.results.evaluation.out_of_fold import OutOfFold, replace_group_column
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.metrics import auroc, average_precision, probabilities
from seedfold.results.store.predictions import HeadPredictions

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
Curve = dict[str, Any]
_MEAN_CURVE_X = np.linspace(0.0, 1.0, 201)


def curves(
    runs: Sequence[FinishedJob],
    over: Over = "fold",
    *,
    split: str = "val",
    partial: bool = False,
    planned: Iterable[Job] | None = None,
    where: Selection = None,
) -> pd.DataFrame:
    """Return points of curves: stage, axes, head, class, curve, x, y, threshold, area, complete.

    ``curve`` is ``roc`` (x: false positive rate, y: true positive rate; area: AUROC) or ``pr`` (x: recall, y:
    precision; area: average precision). Two classes have the curve of class 1; more have one curve per class against
    the rest, and ``macro``, the mean of these at 201 values of x, whose area is the mean of their areas. Classes
    that do not occur, or are all there is, have none. Raises as `oof` does.
    """
    import pandas as pd

    found = OutOfFold(runs, over, split, partial, planned, where)
    parts = [
        _curve_table(curve, group, head).assign(complete=found.is_complete(group))
        for group, heads in found.pooled_groups()
        for head, pooled in heads.items()
        for curve in head_curves(pooled.rows)
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return replace_group_column(frame)


def _curve_table(curve: Curve, group: Group, head: str) -> pd.DataFrame:
    import pandas as pd

    points = pd.DataFrame(curve)
    points.insert(0, "head", head)
    points["group"] = pd.Series([group] * len(points), dtype=object)
    return points


def head_curves(rows: HeadPredictions) -> Iterator[Curve]:
    """Yield the curves of one head over the samples whose target is known; none for regression."""
    if rows.is_regression or not rows.known.any():
        return
    truth, p = rows.targets[rows.known], probabilities(rows.logits[rows.known])
    classes = [1] if p.shape[1] == 2 else range(p.shape[1])
    for make in (_roc_curve, _precision_recall_curve):
        found = [
            make(truth == number, p[:, number], str(number)) for number in classes if 0 < (truth == number).mean() < 1
        ]
        yield from found
        if len(found) > 1:
            yield {**mean_curve(found), "class": "macro"}


def _roc_curve(truth: Array, p: Array, name: str) -> Curve:
    from sklearn.metrics import roc_curve

    x, y, threshold = roc_curve(truth, p)
    return {"class": name, "curve": "roc", "x": x, "y": y, "threshold": threshold, "area": auroc(truth, p)}


def _precision_recall_curve(truth: Array, p: Array, name: str) -> Curve:
    from sklearn.metrics import precision_recall_curve

    precision, recall, threshold = precision_recall_curve(truth, p, drop_intermediate=True)
    threshold = np.append(threshold, np.inf)
    area = average_precision(truth, p)
    return {
        "class": name,
        "curve": "pr",
        "x": recall[::-1],
        "y": precision[::-1],
        "threshold": threshold[::-1],
        "area": area,
    }


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves of one kind at 201 values of x, with the mean of their areas."""
    heights = np.mean([np.interp(_MEAN_CURVE_X, curve["x"], curve["y"]) for curve in curves], axis=0)
    area = float(np.mean([curve["area"] for curve in curves]))
    return {**curves[0], "x": _MEAN_CURVE_X, "y": heights, "threshold": np.nan, "area": area}
