"""Prevalence estimation: from hard predictions on data whose prevalences are unknown.

A quantifier is trained on labelled data (``targets`` and ``labels``, the classes that a model chose) and applied to the
class shares ``observed`` that the same model chose elsewhere. The definitions are those of Godau et al., MICCAI 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Quantifier = Callable[[Labels, Labels, Floats], Floats]
_LEAST_WEIGHT = 1e-8


def shares(labels: Labels, classes: int) -> Floats:
    """Return the share (k,) of each class among ``labels``: classify and count."""
    return np.bincount(labels, minlength=classes) / len(labels)


def confusion(targets: Labels, labels: Labels, classes: int) -> Floats:
    """Return the joint distribution (k, k) of true class (row) and chosen class (column)."""
    joint = np.zeros((classes, classes))
    np.add.at(joint, (targets, labels), 1.0)
    return np.asarray(joint / len(targets))


def classify_and_count(targets: Labels, labels: Labels, observed: Floats) -> Floats:
    """CC: what was chosen is what there is."""
    return observed


def black_box_shift(targets: Labels, labels: Labels, observed: Floats) -> Floats:
    """BBSE (Lipton, Wang and Smola, ICML 2018): solve C^T w = observed; the estimate is p_i·max(w_i, 1e-8).

    C is the joint confusion and p the prevalences of the labelled data. Where C is singular, the least squares
    solution of least norm is taken. The estimate need not sum to 1.
    """
    joint = confusion(targets, labels, len(observed))
    return np.asarray(joint.sum(axis=1) * np.maximum(_solved(joint.T, observed), _LEAST_WEIGHT))


def _solved(matrix: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def adjusted_count(targets: Labels, labels: Labels, observed: Floats) -> Floats:
    """ACC: the x on the simplex with least ||A x - observed||_2, A the share of each choice given the true class.

    A class that the labelled data do not have is taken to be always chosen rightly.
    """
    joint = confusion(targets, labels, len(observed))
    given = joint.sum(axis=1)
    rates = np.divide(joint, given[:, None], out=np.eye(len(observed)), where=given[:, None] > 0)
    return on_simplex(lambda x: float(np.linalg.norm(rates.T @ x - observed)), len(observed))


def on_simplex(loss: Callable[[Floats], float], classes: int) -> Floats:
    """Minimise ``loss`` over prevalences (k,), at least 0 and summing to 1: SLSQP from the uniform vector."""
    from scipy.optimize import minimize

    start = np.full(classes, 1 / classes)
    whole = {"type": "eq", "fun": lambda x: 1 - x.sum()}
    found = minimize(loss, start, method="SLSQP", bounds=[(0, 1)] * classes, constraints=whole)
    return np.asarray(found.x, dtype=np.float64)


QUANTIFIERS: Mapping[str, Quantifier] = {
    "CC": classify_and_count,
    "BBSE": black_box_shift,
    "ACC": adjusted_count,
}
"""By the name that tables and configurations use."""
