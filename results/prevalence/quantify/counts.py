"""Prevalences from the classes that a model chooses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seedfold.results.prevalence.quantify.problem import Floats, QuantificationProblem
from seedfold.results.prevalence.quantify.simplex import minimize_on_simplex

Labels = NDArray[np.int64]
_MIN_WEIGHT = 1e-8


def class_shares(labels: Labels, classes: int) -> Floats:
    """Return the share (k,) of each class among ``labels``, which must not be empty."""
    return np.bincount(labels, minlength=classes) / len(labels)


def confusion_matrix(targets: Labels, labels: Labels, classes: int) -> Floats:
    """Return how often (k, k) a true class (row) is given a chosen class (column)."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (targets, labels), 1.0)
    return counts


def classify_and_count(problem: QuantificationProblem) -> list[Floats]:
    """CC: the estimate is the share of samples for which the model chooses each class."""
    labels = problem.pool.labels
    return [class_shares(labels[rows], problem.class_count) for rows in problem.samples]


def black_box_shift(problem: QuantificationProblem) -> list[Floats]:
    """BBSE (Lipton, Wang and Smola, ICML 2018): solve C^T w = CC; the estimate is p_i·max(w_i, 1e-8).

    C is the joint confusion and p the prevalences of the labelled samples. If C is singular, the least squares
    solution with the smallest norm is taken. The estimate need not sum to 1.
    """
    developed = problem.labelled
    joint = confusion_matrix(developed.targets, developed.labels, problem.class_count) / len(developed.targets)
    present = joint.sum(axis=1)
    return [
        np.asarray(present * np.maximum(_solve(joint.T, observed), _MIN_WEIGHT))
        for observed in classify_and_count(problem)
    ]


def _solve(matrix: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def adjusted_count(problem: QuantificationProblem) -> list[Floats]:
    """ACC: the x on the simplex with least ||A x - CC||_2, where A holds the share of each choice given the true class.

    For a class without labelled samples, all choices are taken to be right.
    """
    developed = problem.labelled
    counts = confusion_matrix(developed.targets, developed.labels, problem.class_count)
    true_counts = counts.sum(axis=1)[:, None]
    rates = np.divide(counts, true_counts, out=np.eye(problem.class_count), where=true_counts > 0)
    return [adjust(rates, observed) for observed in classify_and_count(problem)]


def adjust(rates: Floats, observed: Floats) -> Floats:
    """Return the x on the simplex with least ||x rates - observed||_2; a row of ``rates`` belongs to a true class."""
    return minimize_on_simplex(lambda x: float(np.linalg.norm(rates.T @ x - observed)), len(observed))
