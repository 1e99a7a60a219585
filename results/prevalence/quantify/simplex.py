"""Prevalences that minimise a loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from seedfold.results.prevalence.quantify.problem import Floats


def minimize_on_simplex(loss: Callable[[Floats], float], classes: int) -> Floats:
    """Minimise ``loss`` over prevalences (k,), at least 0 and summing to 1: SLSQP from the uniform vector.

    The result is NaN if the loss of the uniform vector is not finite: the solver would only return its start.
    """
    from scipy.optimize import minimize

    start = np.full(classes, 1 / classes)
    if not np.isfinite(loss(start)):
        return np.full(classes, np.nan)
    # The built-in sum adds in the order in which the published estimates were made.
    sums_to_one = {"type": "eq", "fun": lambda x: 1 - sum(x)}
    found = minimize(loss, start, method="SLSQP", bounds=[(0, 1)] * classes, constraints=sums_to_one)
    return np.asarray(found.x, dtype=np.float64)
