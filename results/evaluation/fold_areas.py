"""Areas under the ROC curve of cross-validated predictions, within folds.

Each fold is predicted by another fitted model, and models need not agree in scale: 0.4 may mean likely to one and
unlikely to another. The mean of the folds' areas ranks samples against those of their own fold alone. The area of all
folds pooled also ranks them against those of other folds, so that it changes with the scales although no model ranks
any better (G. Forman and M. Scholz, "Apples-to-Apples in Cross-Validation Studies: Pitfalls in Classifier Performance
Measurement", SIGKDD Explorations 12, 2010, 49-57).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.results.store.metrics import auroc

Array = npt.NDArray[Any]


def fold_areas(positive: Array, scores: Array, folds: Array) -> dict[Any, float]:
    """Return the area of scores (n,) within each fold of ``folds`` (n,), ascending.

    A fold that lacks positive (n,) or other samples has no area and is left out.
    """
    areas = {}
    for fold in np.unique(folds).tolist():
        own = folds == fold
        if 0 < np.count_nonzero(positive[own]) < np.count_nonzero(own):
            areas[fold] = auroc(positive[own], scores[own])
    return areas


def mean_fold_area(positive: Array, scores: Array, folds: Array) -> float:
    """Return the mean of `fold_areas`, each fold with the same weight; NaN where no fold has both kinds of samples."""
    areas = fold_areas(positive, scores, folds)
    return float(np.mean(list(areas.values()))) if areas else float("nan")
