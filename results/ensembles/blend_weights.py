"""Weights with which members' probabilities are averaged, chosen on predictions that no member has trained on.

They are chosen by forward selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection
from Libraries of Models", ICML 2004): in each round, the member is added that improves the mean of the folds' areas
under the ROC curve most. The weight of a member is the number of times that it was added. The area of all folds pooled
would also reward members whose models agree in scale from fold to fold, which does not help test samples
(`seedfold.results.evaluation.fold_areas`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError
from seedfold.results.evaluation.fold_areas import fold_areas, mean_fold_area

Array = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int64]
ROUNDS = 20


def choose_weights(predictions: Array, positive: npt.NDArray[np.bool_], folds: Folds, rounds: int = ROUNDS) -> Array:
    """Return weights (m,) that sum to 1 for probabilities (n, m); the earlier of two equally good members is taken.

    ``positive`` (n,) tells the classes, ``folds`` (n,) the folds. The weights of the round with the largest area are
    returned, the first of several. Raises UsageError if no fold has samples of both classes.
    """
    if not fold_areas(positive, predictions[:, 0], folds):
        raise UsageError("blend: no fold has samples of both classes, so that no weights can be chosen")
    counts, total = np.zeros(predictions.shape[1]), np.zeros(len(predictions))
    best, best_area = counts, -1.0
    for _ in range(rounds):
        areas = [mean_fold_area(positive, total + column, folds) for column in predictions.T]
        member = int(np.argmax(areas))
        total = total + predictions[:, member]
        counts = counts + (np.arange(len(counts)) == member)
        if areas[member] > best_area:
            best, best_area = counts, areas[member]
    return np.asarray(best / best.sum())


def choose_weights_per_fold(predictions: Array, positive: npt.NDArray[np.bool_], folds: Folds) -> Array:
    """Return weights (k, m) for each of the k folds, in ascending order, chosen only on the rows of the other folds."""
    others = [folds != fold for fold in np.unique(folds)]
    return np.stack([choose_weights(predictions[rows], positive[rows], folds[rows]) for rows in others])
