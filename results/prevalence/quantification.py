"""Tables of what each method estimates in simulated deployments, and of the errors of these estimates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.mean_predictions import PredictedSamples
from seedfold.results.prevalence.quantify import (
    DEFAULT_SEED,
    METHODS,
    WITHOUT_LABELS,
    Floats,
    QuantificationProblem,
    check_methods,
    estimate_prevalences,
)

Row = dict[str, Any]
_CLASS_COLUMNS = ("class", "prevalence", "estimate")


def quantification_rows(
    splits: PredictedSplits,
    deployments: Sequence[Deployment],
    methods: Sequence[str] = METHODS,
    seed: int = DEFAULT_SEED,
) -> Iterator[Row]:
    """Return ratio, n, method, class, prevalence, estimate: one row for each class, in the order of the arguments.

    n is the size of the deployment, ``prevalence`` the exact one. Methods learn from ``dev_test``; ``seed`` is that of
    the points that KDEyHD draws. Estimates may be NaN (see `estimate_prevalences`). Raises UsageError for an unknown
    method.
    """
    names = check_methods(methods)
    problem = QuantificationProblem(
        splits.dev_test, splits.app_test, [deployment.rows for deployment in deployments], seed
    )
    estimates = {name: estimate_prevalences(name, problem) for name in names}
    return (
        {"ratio": deployment.ratio, "n": len(deployment.rows), "method": name, **row}
        for number, deployment in enumerate(deployments)
        for name in names
        for row in _class_rows(deployment.exact_prevalences, estimates[name][number])
    )


def quantification_without_labels(
    developed: PredictedSamples | None,
    deployed: PredictedSamples,
    methods: Sequence[str] = METHODS,
    seed: int = DEFAULT_SEED,
) -> Iterator[Row]:
    """Return the columns of `quantification_rows` for a deployment without labels.

    ``ratio`` and ``prevalence`` are NaN. Without labelled predictions ``developed``, so are the estimates of all
    methods but `WITHOUT_LABELS`. Raises as `quantification_rows`.
    """
    names, classes = check_methods(methods), deployed.class_count
    known = developed or PredictedSamples(np.zeros(0, dtype=np.int64), np.zeros((0, classes), dtype=np.float32))
    problem = QuantificationProblem(known, deployed, [np.arange(len(deployed.targets))], seed)
    unknown = np.full(classes, np.nan)
    for name in names:
        can_estimate = developed is not None or name in WITHOUT_LABELS
        [estimate] = estimate_prevalences(name, problem) if can_estimate else [unknown]
        for row in _class_rows(unknown, estimate):
            yield {"ratio": np.nan, "n": len(deployed.targets), "method": name, **row}


def _class_rows(exact: Floats, estimate: Floats) -> Iterator[Row]:
    for number, values in enumerate(zip(exact.tolist(), estimate.tolist(), strict=True)):
        yield dict(zip(_CLASS_COLUMNS, (number, *values), strict=True))


def quantification_error_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Return ratio, n, method, metric, value from the rows of `quantification_rows`, in the same order. Other
    columns are kept.

    ``absolute_error`` is the sum over classes of |p - q|. ``nkld`` is the normalised Kullback-Leibler divergence of
    the estimate q from the prevalences p, after 1/n is added to both; it lies between 0 and 1.
    """
    for place, group in groupby(rows, lambda row: {key: row[key] for key in row if key not in _CLASS_COLUMNS}):
        exact, estimate = np.array([(row["prevalence"], row["estimate"]) for row in group]).T
        yield {**place, "metric": "absolute_error", "value": float(np.abs(exact - estimate).sum())}
        yield {**place, "metric": "nkld", "value": normalised_kl_divergence(exact, estimate, 1 / place["n"])}


def normalised_kl_divergence(true: Floats, estimate: Floats, smoothing: float) -> float:
    """Return 2·e^d/(1 + e^d) - 1, where d is the Kullback-Leibler divergence after ``smoothing`` is added to both."""
    p, q = true + smoothing, estimate + smoothing
    ratio = np.exp((p * np.log(p / q)).sum())
    return float(2 * ratio / (1 + ratio) - 1)
