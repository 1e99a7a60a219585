"""Prevalences from histograms of a model's probabilities."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.problem import Floats, QuantificationProblem
from seedfold.results.prevalence.quantify.simplex import minimize_on_simplex

_BINS = 8


def hellinger_histograms(problem: QuantificationProblem) -> list[Floats]:
    """HDy as distribution matching: the mixture of the classes' histograms that is nearest to that of the sample.

    A histogram is taken of each class's probabilities (of two classes, of the first alone), in 8 bins of equal width;
    the distance is the mean over them of sqrt(sum_b (sqrt(t_b) - sqrt(sum_i x_i V_ib))^2).
    """
    developed = problem.labelled
    class_histograms = np.stack(
        [
            _class_histograms(developed.probabilities[developed.targets == number])
            for number in range(problem.class_count)
        ]
    )
    found = (_class_histograms(problem.pool.probabilities[rows]) for rows in problem.samples)
    return [
        minimize_on_simplex(partial(_hellinger_distance, class_histograms, np.sqrt(each)), problem.class_count)
        for each in found
    ]


def _class_histograms(probabilities: NDArray[np.float32]) -> Floats:
    """Return the share (channels, bins) of samples in each bin; NaN without samples."""
    channels = probabilities.T if probabilities.shape[1] > 2 else probabilities.T[:1]
    counts = np.stack([np.histogram(channel, bins=_BINS, range=(0, 1))[0] for channel in channels])
    return counts / len(probabilities) if len(probabilities) else np.full(counts.shape, np.nan)


def _hellinger_distance(known: Floats, roots: Floats, x: Floats) -> float:
    mixture = (x @ known.reshape(len(known), -1)).reshape(roots.shape)
    return float(np.sqrt(((roots - np.sqrt(mixture)) ** 2).sum(axis=1)).mean())
