"""Prevalences from the mean of a model's probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.counts import adjust, class_shares
from seedfold.results.prevalence.quantify.problem import Floats, QuantificationProblem

_CONVERGED_CHANGE = 1e-4
_MIN_STEPS, _MAX_STEPS = 12, 1000


def probabilistic_count(problem: QuantificationProblem) -> list[Floats]:
    """PCC: the mean probabilities, divided by their sum; in single precision, as published."""
    return [_mean_shares(problem.pool.probabilities[rows]) for rows in problem.samples]


def _mean_shares(probabilities: NDArray[np.float32]) -> Floats:
    mean = probabilities.mean(axis=0)
    return np.asarray(mean / mean.sum(), dtype=np.float64)


def probabilistic_adjusted_count(problem: QuantificationProblem) -> list[Floats]:
    """PACC: the x on the simplex with least ||A x - PCC||_2; A has the mean probabilities given the true class.

    For samples of a class without labelled samples, this class is taken to be predicted with probability 1.
    """
    developed = problem.labelled
    rates = np.eye(problem.class_count)
    for number in np.flatnonzero(developed.class_counts):
        rates[number] = developed.probabilities[developed.targets == number].mean(axis=0)
    return [adjust(rates, observed) for observed in probabilistic_count(problem)]


def expectation_maximization(problem: QuantificationProblem) -> list[Floats]:
    """EMQ (Saerens, Latinne and Decaestecker, 2002): expectation maximisation.

    Each step corrects the probabilities for the present prevalences and takes their mean as the next prevalences. It
    starts from the prevalences of the labelled samples, and ends when they change by less than 1e-4 on average, after
    at least 12 and at most 1,000 steps.
    """
    trained = class_shares(problem.labelled.targets, problem.class_count)
    return [_iterate_to_fixed_point(problem.pool.probabilities[rows], trained) for rows in problem.samples]


def _iterate_to_fixed_point(probabilities: NDArray[np.float32], trained: Floats) -> Floats:
    if not trained.all():
        return np.full(len(trained), np.nan)
    found = trained
    for step in range(1, _MAX_STEPS + 1):
        previous, found = found, _expectation_step(probabilities, found / trained)
        if step >= _MIN_STEPS and np.abs(found - previous).mean() < _CONVERGED_CHANGE:
            break
    return found


def _expectation_step(probabilities: NDArray[np.float32], factors: Floats) -> Floats:
    posterior = factors * probabilities
    posterior /= posterior.sum(axis=1, keepdims=True)
    return np.asarray(posterior.mean(axis=0))
