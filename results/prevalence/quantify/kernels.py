"""Prevalences from kernel densities of a model's probabilities (Moreo, González and del Coz, 2024).

Each class has the density of a Gaussian kernel, isotropic over all k probabilities, on its labelled samples; the
mixture of these that fits the sample best has the prevalences as its weights. The methods differ in what fits.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.densities import densities
from seedfold.results.prevalence.quantify.problem import Floats, Problem
from seedfold.results.prevalence.quantify.simplex import on_simplex

BANDWIDTH = 0.1
DRAWN = 10_000
"""Points at which KDEyHD compares densities, a k-th of them drawn from each class."""
_TINY = 1e-10


def maximum_likelihood(problem: Problem) -> list[Floats]:
    """KDEyML: the mixture under which the sample is most likely; least -sum log(f(x) + 1e-10)."""
    known = _class_densities(problem, problem.pool.probabilities, BANDWIDTH)
    return [
        on_simplex(partial(_unlikelihood, np.ascontiguousarray(known[rows].T)), problem.classes)
        for rows in problem.samples
    ]


def _unlikelihood(known: Floats, x: Floats) -> float:
    return -float(np.log(x @ known + _TINY).sum())


def cauchy_schwarz(problem: Problem) -> list[Floats]:
    """KDEyCS: the mixture f nearest to the density g of the sample, least -log ∫fg + log(∫f²)/2."""
    # The product of two Gaussians integrates to one of twice the variance.
    bandwidth = BANDWIDTH * np.sqrt(2)
    own = _class_densities(problem, problem.developed.probabilities, bandwidth)
    among = np.asarray(_class_weights(problem).T @ own)
    between = _class_densities(problem, problem.pool.probabilities, bandwidth)
    return [
        on_simplex(partial(_divergence, among, between[rows].mean(axis=0)), problem.classes) for rows in problem.samples
    ]


def _divergence(among: Floats, between: Floats, x: Floats) -> float:
    return float(0.5 * np.log(x @ among @ x) - np.log(x @ between))


def hellinger(problem: Problem) -> list[Floats]:
    """KDEyHD: the mixture with the least squared Hellinger distance to the density of the sample.

    The distance is estimated at `DRAWN` points from the classes' densities, weighted by importance. They are drawn by
    numpy's legacy generator, class after class, from ``problem.seed``: its stream is fixed for ever, and the one that
    the published study drew from, without a seed.
    """
    if not problem.developed.counts.all():
        return [np.full(problem.classes, np.nan) for _ in problem.samples]
    points = _drawn(problem)
    known = _class_densities(problem, points, BANDWIDTH)
    found = densities(points, problem.pool.probabilities, _sample_weights(problem), BANDWIDTH) + _TINY
    importance = found / (known.mean(axis=1, keepdims=True) + _TINY)
    return [
        on_simplex(partial(_distance, (known.T + _TINY) / found[:, number], importance[:, number]), problem.classes)
        for number in range(len(problem.samples))
    ]


def _distance(ratios: Floats, importance: Floats, x: Floats) -> float:
    return float(np.mean((np.sqrt(x @ ratios) - 1) ** 2 * importance))


def _drawn(problem: Problem) -> Floats:
    """Points drawn from the density of each class, as scikit-learn's KernelDensity draws."""
    random, count = np.random.RandomState(problem.seed), DRAWN // problem.classes
    drawn = []
    for number in range(problem.classes):
        centres = problem.developed.probabilities[problem.developed.targets == number].astype(np.float64)
        chosen = (random.uniform(0, 1, size=count) * len(centres)).astype(np.int64)
        drawn.append(random.normal(centres[chosen], BANDWIDTH))
    return np.concatenate(drawn)


def _class_densities(problem: Problem, points: NDArray[np.floating], bandwidth: float) -> Floats:
    """The density (m, k) of each class at ``points`` (m, k); NaN for a class without labelled samples."""
    return densities(points, problem.developed.probabilities, _class_weights(problem), bandwidth)


def _class_weights(problem: Problem) -> Floats:
    """What (n, k) each labelled sample adds to the density of each class."""
    developed = problem.developed
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.eye(problem.classes)[developed.targets] / developed.counts)


def _sample_weights(problem: Problem) -> Floats:
    """What (n, samples) each prediction of the pool adds to the density of each sample."""
    weights = np.zeros((len(problem.pool.targets), len(problem.samples)))
    for number, rows in enumerate(problem.samples):
        np.add.at(weights[:, number], rows, 1 / len(rows))
    return weights
