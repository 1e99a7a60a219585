"""Statistics of paired differences: an interval of their mean, tests that it is zero, and Holm's correction.

Every call gives the same numbers, because random draws have a fixed seed. A value that is not defined,
because there are too few differences, is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

RESAMPLES = 9999
SEED = 42
_DIGITS = 12


def mean_interval(differences: Array, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean of differences (n,); None for n < 2.

    It is the percentile interval over 9999 resamples of n differences with replacement: B. Efron, "Bootstrap Methods:
    Another Look at the Jackknife", Annals of Statistics 7, 1979, 1-26. It takes the differences as independent.
    """
    from scipy.stats import bootstrap

    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return None
    given: Any = {"n_resamples": RESAMPLES, "confidence_level": confidence, "method": "percentile"}
    low, high = bootstrap((values,), np.mean, vectorized=True, random_state=SEED, **given).confidence_interval
    return float(low), float(high)


def signed_rank_p(differences: Array) -> float | None:
    """Return the two-sided p value of Wilcoxon's signed rank test of differences (n,); None for n < 2.

    F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945, 80-83, as SciPy computes it:
    exact for few differences, and differences of zero are left out. If all are zero, p is 1.
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return None
    largest = np.abs(values).max()
    if largest == 0:
        return 1.0
    # 0.3 - 0.2 and 0.2 - 0.1 must have the same rank, although they differ in their last bits.
    return float(wilcoxon(np.round(values / largest, _DIGITS)).pvalue)


def corrected_t_p(differences: Array, test_to_train: float) -> float | None:
    """Return the two-sided p value of the corrected resampled t-test of differences (n,); None for n < 2.

    The models behind the n differences share training samples, so the variance of their mean is not s²/n but about
    (1/n + ``test_to_train``)·s², with the number of test samples over that of training samples: C. Nadeau and
    Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003, 239-281, section 3. For k folds the
    ratio is 1/(k - 1), also where the samples are cut into folds several times: R. R. Bouckaert and E. Frank,
    "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms", PAKDD 2004. A ratio of 0
    gives the ordinary paired t-test. If all differences are zero, p is 1.
    """
    from scipy.special import stdtr

    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return None
    mean, variance = float(values.mean()), float(values.var(ddof=1))
    if variance == 0:
        return 1.0 if mean == 0 else 0.0
    statistic = mean / ((1 / values.size + test_to_train) * variance) ** 0.5
    return float(2 * stdtr(values.size - 1, -abs(statistic)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for the number of tests, in their order; None stays None and does not count as a test.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979,
    65-70: the i-th smallest of m is multiplied by m - i + 1, and none becomes smaller than the one before it.
    """
    order = sorted((value, at) for at, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        adjusted[at] = largest
    return adjusted


def smallest_signed_rank_p(n: int) -> float:
    """Return the smallest p value that Wilcoxon's signed rank test of n differences can give: 2/2ⁿ."""
    return min(1.0, 2.0 ** (1 - n))
