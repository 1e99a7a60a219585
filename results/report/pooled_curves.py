"""ROC and precision-recall curves and confusions of one setting, over the values of the axes averaged over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seedfold.results.evaluation.axes import Group
from seedfold.results.evaluation.curves import Array, Curve, head_curves, mean_curve
from seedfold.results.evaluation.out_of_fold import VALIDATION
from seedfold.results.report.plots import Line
from seedfold.results.store.metrics import confusion_counts, probabilities
from seedfold.results.store.predictions import HeadPredictions

_MAX_POINTS = 300


@dataclass(frozen=True, slots=True)
class PooledCurves:
    """The pooled curves of one head by kind: one curve for each value of the axes averaged over."""

    group: Group
    head: str
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    split: str = VALIDATION
    confusions: list[Array] = field(default_factory=list)
    """Counts (k, k) of true class (row) and predicted class (column), one for each value of these axes."""

    def add(self, rows: HeadPredictions) -> None:
        """Add the confusion, and the curves of class 1, or, for more classes, their mean, which is the last curve."""
        if not rows.is_regression:
            p = probabilities(rows.logits[rows.known])
            truth = rows.targets[rows.known].astype(np.int64)
            self.confusions.append(confusion_counts(truth, p.argmax(axis=1), p.shape[1]))
        for kind, curve in {each["curve"]: each for each in head_curves(rows)}.items():
            self.curves.setdefault(kind, []).append(curve)

    def mean_line(self, series: int, kind: str) -> Line:
        """Return the one curve, or the mean of several."""
        found = self.curves[kind]
        curve = found[0] if len(found) == 1 else mean_curve(found)
        return Line(series, *thin_curve(curve["x"], curve["y"]))

    def mean_area(self, kind: str) -> float:
        """Return the mean of the areas."""
        return float(np.mean([curve["area"] for curve in self.curves[kind]]))


def thin_curve(x: Array, y: Array) -> tuple[Array, Array]:
    """Return at most 300 points of a curve, at equal distances along the curve, with both ends."""
    if len(x) <= _MAX_POINTS:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], _MAX_POINTS)))
    return x[kept], y[kept]
