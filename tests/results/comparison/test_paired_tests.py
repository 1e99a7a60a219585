"""Tests of paired differences give what SciPy, statsmodels and published examples give, and keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seedfold.results.comparison.paired_tests import (
    corrected_t_p,
    holm,
    mean_interval,
    signed_rank_p,
    smallest_signed_rank_p,
)

DRAW = np.random.default_rng(3)
DIFFERENCES = [DRAW.normal(0.2, 1.0, size=n) for n in (2, 5, 30, 60)]


@pytest.mark.parametrize("differences", DIFFERENCES, ids=len)
def test_without_correction_it_is_the_paired_t_test(differences: np.ndarray) -> None:
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert corrected_t_p(differences, 0.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_the_corrected_test_agrees_with_the_published_example() -> None:
    """scikit-learn's "Statistical comparison of models using grid search": t 0.750, one-sided p 0.227."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    areas = {
        kernel: cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    }
    p = corrected_t_p(areas["rbf"] - areas["linear"], 10 / 90)
    assert p is not None
    assert p / 2 == pytest.approx(0.227, abs=5e-4)
    assert stats.t.isf(p / 2, 99) == pytest.approx(0.750, abs=5e-4)


def test_the_correction_is_a_factor_of_the_variance() -> None:
    differences = DIFFERENCES[1]
    statistic = stats.ttest_1samp(differences, 0.0).statistic / np.sqrt(1 + 5 / 4)
    assert corrected_t_p(differences, 1 / 4) == pytest.approx(2 * stats.t.sf(abs(statistic), 4), rel=1e-12)


@pytest.mark.parametrize("differences", DIFFERENCES, ids=len)
def test_signed_ranks_are_those_of_scipy(differences: np.ndarray) -> None:
    assert signed_rank_p(differences) == pytest.approx(stats.wilcoxon(differences).pvalue, rel=1e-12)


def test_signed_ranks_agree_with_the_published_example() -> None:
    """Cross- and self-fertilised maize (Darwin 1876): W 24, p 0.04126 in SciPy's documentation."""
    maize = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]) / 8
    assert signed_rank_p(maize) == pytest.approx(0.041259765625, rel=1e-12)


def test_differences_that_are_equal_but_for_rounding_share_a_rank() -> None:
    noisy = np.array([0.3 - 0.2, 0.2 - 0.1, 0.1 - 0.0, 0.1 - 0.2])
    assert len(set(np.abs(noisy))) > 1
    assert signed_rank_p(noisy) == signed_rank_p(np.array([1.0, 1.0, 1.0, -1.0]))


def test_the_smallest_p_of_signed_ranks() -> None:
    for n in (2, 3, 5, 8):
        assert signed_rank_p(np.arange(1.0, n + 1)) == pytest.approx(smallest_signed_rank_p(n), rel=1e-12)


def test_holm_agrees_with_statsmodels() -> None:
    """``multipletests(p, method="holm")`` of statsmodels 0.15."""
    p = [0.04, 0.001, 0.03, 0.2, 0.005, 0.03]
    assert holm(p) == pytest.approx([0.12, 0.006, 0.12, 0.2, 0.025, 0.12], rel=1e-12)
    assert holm([None, *p[:1], None]) == [None, 0.04, None]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_the_interval_is_that_of_scipy_and_the_same_at_every_call() -> None:
    differences = DIFFERENCES[2]
    low, high = mean_interval(differences) or (0.0, 0.0)
    assert (low, high) == mean_interval(differences)
    draws = np.random.default_rng(42).integers(30, size=(9999, 30))
    quantiles = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    assert [low, high] == pytest.approx(list(quantiles), abs=0.03)
    assert low < differences.mean() < high


def test_what_is_not_defined_is_none() -> None:
    one = np.array([0.5])
    assert (mean_interval(one), signed_rank_p(one), corrected_t_p(one, 0.5)) == (None, None, None)
    same = np.zeros(5)
    assert (mean_interval(same), signed_rank_p(same), corrected_t_p(same, 0.25)) == ((0.0, 0.0), 1.0, 1.0)


def _errors_of_twins(draw: np.random.Generator, samples: int, repeats: int, folds: int) -> np.ndarray:
    """Differences in error (repeats * folds) of two learners of which neither is better.

    Each cuts one of two features between the means of the classes. The features are equally informative.
    """
    truth = draw.integers(2, size=samples)
    features = truth[:, None] + draw.normal(scale=1.5, size=(samples, 2))
    differences = []
    for _ in range(repeats):
        fold = draw.permutation(samples) % folds
        for number in range(folds):
            train, test = fold != number, fold == number
            zero, one = (features[train & (truth == value)].mean(axis=0) for value in (0, 1))
            nearer = np.abs(features[test] - one) < np.abs(features[test] - zero)
            wrong = (nearer != truth[test][:, None]).mean(axis=0)
            differences.append(wrong[1] - wrong[0])
    return np.array(differences)


@pytest.mark.slow
def test_on_cross_validated_data_the_corrected_test_keeps_its_level_and_the_plain_one_does_not() -> None:
    draw, folds = np.random.default_rng(0), 5
    twins = [_errors_of_twins(draw, samples=60, repeats=10, folds=folds) for _ in range(400)]
    plain = np.mean([(corrected_t_p(differences, 0.0) or 0.0) < 0.05 for differences in twins])
    corrected = np.mean([(corrected_t_p(differences, 1 / (folds - 1)) or 0.0) < 0.05 for differences in twins])
    # Three standard errors of a share of 0.05 among 400.
    assert corrected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert plain > 0.25
