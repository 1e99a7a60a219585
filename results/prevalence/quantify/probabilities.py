"""Prevalences from the mean of a model's probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.counts import adjusted, shares
from seedfold.results.prevalence.quantify.problem import Floats, Problem

_CHANGE = 1e-4
_FEWEST, _MOST = 12, 1000


def probabilistic_count(problem: Problem) -> list[Floats]:
    """PCC: the mean probabilities, divided by their sum; in single precision, as published."""
    return [_mean_shares(problem.pool.probabilities[rows]) for rows in problem.samples]


def _mean_shares(probabilities: NDArray[np.float32]) -> Floats:
    mean = probabilities.mean(axis=0)
    return np.asarray(mean / mean.sum(), dtype=np.float64)


def probabilistic_adjusted_count(problem: Problem) -> list[Floats]:
    """PACC: the x on the simplex with least ||A x - PCC||_2, A the mean probabilities given the true class.

    A class without labelled samples is taken to be always predicted with certainty.
    """
    developed = problem.developed
    rates = np.eye(problem.classes)
    for number in np.flatnonzero(developed.counts):
        rates[number] = developed.probabilities[developed.targets == number].mean(axis=0)
    return [adjusted(rates, observed) for observed in probabilistic_count(problem)]


def expectation_maximization(problem: Problem) -> list[Floats]:
    """EMQ (Saerens, Latinne and Decaestecker, 2002): the prevalences under which the probabilities confirm themselves.

    It starts from those of the labelled samples, and ends when they change by less than 1e-4 on average, after 12
    steps at the least and 1,000 at the most.
    """
    trained = shares(problem.developed.targets, problem.classes)
    return [_confirmed(problem.pool.probabilities[rows], trained) for rows in problem.samples]


def _confirmed(probabilities: NDArray[np.float32], trained: Floats) -> Floats:
    if not trained.all():
        return np.full(len(trained), np.nan)
    found = trained
    for step in range(1, _MOST + 1):
        previous, found = found, _step(probabilities, found / trained)
        if step >= _FEWEST and np.abs(found - previous).mean() < _CHANGE:
            break
    return found


def _step(probabilities: NDArray[np.float32], factors: Floats) -> Floats:
    posterior = factors * probabilities
    posterior /= posterior.sum(axis=1, keepdims=True)
    return np.asarray(posterior.mean(axis=0))
