"""Weights with which members' probabilities are averaged, chosen on predictions that no member has trained on.

They are chosen by forward selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection
from Libraries of Models", ICML 2004): round by round the member that improves the area under the ROC curve most is
added once more; how often a member was taken is its weight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seedfold.results.store.metrics import auroc

Array = npt.NDArray[np.float64]
ROUNDS = 20


def choose_weights(predictions: Array, positive: npt.NDArray[np.bool_], rounds: int = ROUNDS) -> Array:
    """Return weights (m,) that sum to 1 for probabilities (n, m); the earlier member where two are equally good.

    ``positive`` (n,) must hold both kinds of samples. Of all rounds' weights the first of the largest area is returned.
    """
    counts, total = np.zeros(predictions.shape[1]), np.zeros(len(predictions))
    best, best_area = counts, -1.0
    for _ in range(rounds):
        areas = [auroc(positive, total + column) for column in predictions.T]
        member = int(np.argmax(areas))
        total = total + predictions[:, member]
        counts = counts + (np.arange(len(counts)) == member)
        if areas[member] > best_area:
            best, best_area = counts, areas[member]
    return np.asarray(best / best.sum())


def choose_weights_per_fold(predictions: Array, positive: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]) -> Array:
    """Return weights (k, m) for each of the k folds, ascending, chosen on the rows of the other folds alone."""
    others = [folds != fold for fold in np.unique(folds)]
    return np.stack([choose_weights(predictions[rows], positive[rows]) for rows in others])
