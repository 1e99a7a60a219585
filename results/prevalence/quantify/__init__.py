"""Prevalence estimation: how frequent the classes are in samples without labels, from what a model predicts.

There are ten methods, those that Godau et al. (MICCAI 2023) compare. They agree with QuaPy 0.1.8.1 in every detail:
losses, solver, start and limits. The modules are ``counts`` (from the classes that a model chooses),
``probabilities`` (from the mean of its probabilities), ``histograms`` and ``kernels`` (from their distribution).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.prevalence.quantify import counts, histograms, kernels, probabilities
from seedfold.results.prevalence.quantify.counts import class_shares
from seedfold.results.prevalence.quantify.problem import DEFAULT_SEED, Floats, QuantificationProblem, Quantifier, Rows

__all__ = [
    "DEFAULT_SEED",
    "METHODS",
    "QUANTIFIERS",
    "WITHOUT_LABELS",
    "Floats",
    "QuantificationProblem",
    "Rows",
    "check_methods",
    "class_shares",
    "estimate_prevalences",
    "suggest_method",
]

QUANTIFIERS: Mapping[str, Quantifier] = {
    "CC": counts.classify_and_count,
    "PCC": probabilities.probabilistic_count,
    "ACC": counts.adjusted_count,
    "PACC": probabilities.probabilistic_adjusted_count,
    "BBSE": counts.black_box_shift,
    "EMQ": probabilities.expectation_maximization,
    "KDEyML": kernels.maximum_likelihood,
    "KDEyHD": kernels.hellinger_kernels,
    "KDEyCS": kernels.cauchy_schwarz,
    "HDy": histograms.hellinger_histograms,
}
"""The methods by the names that tables and configurations use."""
METHODS = tuple(QUANTIFIERS)
WITHOUT_LABELS = ("CC", "PCC")
"""Methods that learn nothing from labelled samples."""


def check_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Return ``methods`` as `QUANTIFIERS` spells them, whatever their case; raises UsageError for an unknown one."""
    known = {name.lower(): name for name in METHODS}
    for name in methods:
        if name.lower() not in known:
            raise UsageError(f"methods: {name!r} is not one of {', '.join(METHODS)}{suggest_method(name)}")
    return tuple(dict.fromkeys(known[name.lower()] for name in methods))


def suggest_method(name: str) -> str:
    """Return the method that is probably meant, as the end of a sentence; empty if there is none."""
    exact = [method for method in METHODS if method.lower() == name.lower()]
    return did_you_mean(name, METHODS) if not exact else f" (did you mean {exact[0]!r}?)"


def estimate_prevalences(method: str, problem: QuantificationProblem) -> list[Floats]:
    """Return what a method estimates for each sample: one vector (k,) each, not forced to sum to 1.

    An estimate is NaN if the predictions do not determine it: for an empty sample, if a probability is NaN, and, for
    all methods but CC, PCC, ACC, PACC and BBSE, if a class has no labelled sample. Raises UsageError for an unknown
    method.
    """
    [name] = check_methods([method])
    unknown = np.full(problem.labelled.class_count, np.nan)
    if not problem.is_finite:
        return [unknown.copy() for _ in problem.samples]
    solvable = QuantificationProblem(
        problem.labelled, problem.pool, [rows for rows in problem.samples if len(rows)], problem.seed
    )
    estimates = iter(QUANTIFIERS[name](solvable))
    return [next(estimates) if len(rows) else unknown.copy() for rows in problem.samples]
