"""The fast algorithm gives what the definition of DeLong, DeLong and Clarke-Pearson gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from seedfold.results.comparison.delong import areas_and_covariance, compare_areas
from seedfold.results.store.metrics import auroc

DRAW = np.random.default_rng(11)


def by_definition(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and covariance from all pairs of a positive and a negative (equations 1 to 5 of the paper of 1988)."""
    x, y = scores[:, positive], scores[:, ~positive]
    (k, m), n = x.shape, y.shape[1]
    won = np.zeros((k, m, n))
    for model in range(k):
        for i in range(m):
            for j in range(n):
                won[model, i, j] = 1.0 if x[model, i] > y[model, j] else 0.5 if x[model, i] == y[model, j] else 0.0
    areas, of_ones, of_zeros = won.mean(axis=(1, 2)), won.mean(axis=2), won.mean(axis=1)
    s10, s01 = np.zeros((k, k)), np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10[r, s] = sum((of_ones[r] - areas[r]) * (of_ones[s] - areas[s])) / (m - 1)
            s01[r, s] = sum((of_zeros[r] - areas[r]) * (of_zeros[s] - areas[s])) / (n - 1)
    return areas, s10 / m + s01 / n


def samples(n: int, models: int, digits: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Two classes and the scores of several models, with ties where ``digits`` are few."""
    positive = np.arange(n) % 3 == 0
    scores = positive + DRAW.normal(size=n) + DRAW.normal(scale=0.7, size=(models, n))
    return positive, scores if digits is None else np.round(scores, digits)


@pytest.mark.parametrize("digits", [None, 1, 0])
@pytest.mark.parametrize("n", [7, 40])
def test_areas_and_covariance_are_those_of_the_definition(n: int, digits: int | None) -> None:
    positive, scores = samples(n, 3, digits)
    areas, covariance = areas_and_covariance(positive, scores)
    wanted_areas, wanted = by_definition(positive, scores)
    np.testing.assert_allclose(areas, wanted_areas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, wanted, rtol=0, atol=1e-12)
    assert areas == pytest.approx([auroc(positive, row) for row in scores], abs=1e-12)


def test_a_small_example_by_hand() -> None:
    """Positives 2, 3 and 4 against negatives 1 and 2 1/2: areas 5/6, and 1 where the 2 becomes a 5."""
    positive = np.array([True, True, True, False, False])
    scores = np.array([[2, 3, 4, 1, 2.5], [5, 3, 4, 1, 2.5]])
    areas, covariance = areas_and_covariance(positive, scores)
    assert areas == pytest.approx([5 / 6, 1.0], abs=1e-12)
    # The shares are 1/2, 1, 1 and 1, 2/3: variances 1/12 and 1/18, over 3 and 2 samples.
    np.testing.assert_allclose(covariance, [[1 / 36 + 1 / 36, 0], [0, 0]], atol=1e-12)
    found = compare_areas([(positive, scores)])
    assert found.difference == pytest.approx(1 / 6, abs=1e-12)
    assert found.p == pytest.approx(2 * norm.sf(1 / 6 / np.sqrt(1 / 18)), abs=1e-12)


def _compared(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The difference and its variance by definition."""
    found = [by_definition(*fold) for fold in folds]
    difference = np.mean([areas[1] - areas[0] for areas, _ in found])
    variances = [c[0, 0] + c[1, 1] - 2 * c[0, 1] for _, c in found]
    return float(difference), float(sum(variances) / len(found) ** 2)


def test_folds_are_averaged_and_their_variances_added() -> None:
    folds = [samples(n, 2, 1) for n in (20, 25, 31)]
    found = compare_areas(folds)
    difference, variance = _compared(folds)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.p == pytest.approx(2 * norm.sf(abs(difference) / np.sqrt(variance)), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * np.sqrt(variance), abs=1e-12)


def test_a_shift_of_one_fold_changes_nothing() -> None:
    folds = [samples(30, 2, None) for _ in range(3)]
    shifted = [folds[0], (folds[1][0], folds[1][1] + 5.0), folds[2]]
    assert compare_areas(shifted) == compare_areas(folds)


def test_equal_models_are_told_so_and_what_is_not_defined_is_none() -> None:
    positive, scores = samples(30, 1, None)
    same = compare_areas([(positive, np.vstack([scores, scores]))])
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    perfect = np.vstack([positive.astype(float), 1.0 - positive])
    assert compare_areas([(positive, perfect)]).p is None
    with pytest.raises(ValueError, match="two samples"):
        areas_and_covariance(np.array([True, False, False]), np.zeros((2, 3)))
