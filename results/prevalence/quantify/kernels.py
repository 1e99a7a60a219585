"""Prevalences from kernel densities of a model's probabilities (Moreo, González and del Coz, 2024).

Each class has the density of a Gaussian kernel, isotropic over all k probabilities, on its labelled samples; the
mixture of these that fits the sample best has the prevalences as its weights. The methods differ in how they measure
the fit.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.densities import kernel_densities
from seedfold.results.prevalence.quantify.problem import Floats, QuantificationProblem
from seedfold.results.prevalence.quantify.simplex import minimize_on_simplex

BANDWIDTH = 0.1
DRAWN_POINTS = 10_000
"""Points at which KDEyHD compares densities; one k-th of them is drawn from each of the k classes."""
_TINY = 1e-10


def maximum_likelihood(problem: QuantificationProblem) -> list[Floats]:
    """KDEyML: the mixture under which the sample is most likely; least -sum log(f(x) + 1e-10)."""
    known = _class_densities(problem, problem.pool.probabilities, BANDWIDTH)
    return [
        minimize_on_simplex(partial(_negative_log_likelihood, np.ascontiguousarray(known[rows].T)), problem.class_count)
        for rows in problem.samples
    ]


def _negative_log_likelihood(densities: Floats, x: Floats) -> float:
    return -float(np.log(x @ densities + _TINY).sum())


def cauchy_schwarz(problem: QuantificationProblem) -> list[Floats]:
    """KDEyCS: the mixture f nearest to the density g of the sample, least -log ∫fg + log(∫f²)/2."""
    # The integral of the product of two Gaussians is a Gaussian with twice the variance.
    bandwidth = BANDWIDTH * np.sqrt(2)
    labelled_densities = _class_densities(problem, problem.labelled.probabilities, bandwidth)
    class_products = np.asarray(_class_weights(problem).T @ labelled_densities)
    pool_densities = _class_densities(problem, problem.pool.probabilities, bandwidth)
    return [
        minimize_on_simplex(
            partial(_cauchy_schwarz_divergence, class_products, pool_densities[rows].mean(axis=0)), problem.class_count
        )
        for rows in problem.samples
    ]


def _cauchy_schwarz_divergence(among: Floats, between: Floats, x: Floats) -> float:
    return float(0.5 * np.log(x @ among @ x) - np.log(x @ between))


def hellinger_kernels(problem: QuantificationProblem) -> list[Floats]:
    """KDEyHD: the mixture with the least squared Hellinger distance to the density of the sample.

    The distance is estimated at `DRAWN_POINTS` points from the classes' densities, weighted by importance. They are
    drawn by numpy's legacy generator, class after class, from ``problem.seed``: its stream never changes. The published
    study drew from the same generator, without a seed.
    """
    if not problem.labelled.class_counts.all():
        return [np.full(problem.class_count, np.nan) for _ in problem.samples]
    points = _draw_points(problem)
    known = _class_densities(problem, points, BANDWIDTH)
    sample_densities = kernel_densities(points, problem.pool.probabilities, _sample_weights(problem), BANDWIDTH) + _TINY
    importance = sample_densities / (known.mean(axis=1, keepdims=True) + _TINY)
    return [
        minimize_on_simplex(
            partial(
                _weighted_hellinger_distance, (known.T + _TINY) / sample_densities[:, number], importance[:, number]
            ),
            problem.class_count,
        )
        for number in range(len(problem.samples))
    ]


def _weighted_hellinger_distance(ratios: Floats, importance: Floats, x: Floats) -> float:
    return float(np.mean((np.sqrt(x @ ratios) - 1) ** 2 * importance))


def _draw_points(problem: QuantificationProblem) -> Floats:
    """Draw points from the density of each class, as scikit-learn's KernelDensity does."""
    random, count = np.random.RandomState(problem.seed), DRAWN_POINTS // problem.class_count
    drawn = []
    for number in range(problem.class_count):
        centres = problem.labelled.probabilities[problem.labelled.targets == number].astype(np.float64)
        chosen = (random.uniform(0, 1, size=count) * len(centres)).astype(np.int64)
        drawn.append(random.normal(centres[chosen], BANDWIDTH))
    return np.concatenate(drawn)


def _class_densities(problem: QuantificationProblem, points: NDArray[np.floating], bandwidth: float) -> Floats:
    """Return the density (m, k) of each class at ``points`` (m, k); NaN for a class without labelled samples."""
    return kernel_densities(points, problem.labelled.probabilities, _class_weights(problem), bandwidth)


def _class_weights(problem: QuantificationProblem) -> Floats:
    """Return how much (n, k) each labelled sample adds to the density of each class."""
    developed = problem.labelled
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.eye(problem.class_count)[developed.targets] / developed.class_counts)


def _sample_weights(problem: QuantificationProblem) -> Floats:
    """Return how much (n, samples) each prediction of the pool adds to the density of each sample."""
    weights = np.zeros((len(problem.pool.targets), len(problem.samples)))
    for number, rows in enumerate(problem.samples):
        np.add.at(weights[:, number], rows, 1 / len(rows))
    return weights
