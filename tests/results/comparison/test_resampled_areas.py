"""Areas over resampled samples are those of samples counted as often as they were drawn, whatever the folds' scales."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from seedfold.results.comparison.resampled_areas import Fold, resample_areas, weighted_areas
from seedfold.results.comparison.same_samples import Agreement, accuracy_interval, mcnemar_p
from seedfold.results.store.metrics import auroc

DRAW = np.random.default_rng(2)


def fold(n: int = 90, gain: float = 0.0, shift: float = 0.0) -> Fold:
    """A fold of two classes; the second model's scores are drawn apart by ``gain`` and moved by ``shift``."""
    truth = (np.arange(n) % 3 == 0).astype(int)
    scores = truth + DRAW.normal(size=n)
    return Fold(truth, scores[:, None], (scores + gain * truth + shift)[:, None])


def test_counted_samples_are_repeated_samples() -> None:
    truth, scores = DRAW.integers(2, size=50), np.round(DRAW.normal(size=50), 1)
    counts = DRAW.integers(0, 4, size=(20, 50))
    found = weighted_areas(counts.astype(float), truth == 1, scores)
    repeated = [auroc(np.repeat(truth, row) == 1, np.repeat(scores, row)) for row in counts]
    np.testing.assert_allclose(found, repeated, rtol=0, atol=1e-12)


def test_the_interval_is_that_of_scipy_but_for_the_draw() -> None:
    one = fold(200, gain=0.3)
    found = resample_areas([one], resamples=4000)
    positive = one.targets == 1
    classes = (np.flatnonzero(positive), np.flatnonzero(~positive))

    def gain(ones: np.ndarray, others: np.ndarray) -> float:
        rows = np.concatenate([ones, others])
        return auroc(positive[rows], one.second[rows, 0]) - auroc(positive[rows], one.first[rows, 0])

    low, high = bootstrap(
        classes, gain, n_resamples=4000, vectorized=False, method="percentile", random_state=1
    ).confidence_interval
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.003)
    assert found.difference == pytest.approx(gain(*classes), abs=1e-12)


def test_scales_of_folds_do_not_count() -> None:
    folds = [fold(gain=0.2) for _ in range(3)]
    moved = [Fold(each.targets, each.first, each.second + 9.0 * number) for number, each in enumerate(folds)]
    assert resample_areas(moved) == resample_areas(folds)


def test_more_classes_have_the_mean_of_their_areas() -> None:
    truth = np.arange(60) % 3
    first, second = (np.eye(3)[truth] + DRAW.normal(size=(60, 3)) for _ in range(2))
    found = resample_areas([Fold(truth, first, second)])
    assert found.second == pytest.approx(np.mean([auroc(truth == k, second[:, k]) for k in range(3)]), abs=1e-12)
    assert found.low <= found.difference <= found.high


def test_p_is_small_where_all_resamples_agree_and_one_for_equal_models() -> None:
    assert resample_areas([fold(gain=3.0)]).p == pytest.approx(2 / 1001)
    assert resample_areas([fold()]).p == 1.0


def test_a_fold_without_a_class_is_refused() -> None:
    one_class = Fold(np.ones(4, dtype=int), np.zeros((4, 1)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="lacks a class"):
        resample_areas([fold(), one_class])


def test_mcnemar_agrees_with_statsmodels() -> None:
    """``mcnemar(table, exact=True)`` of statsmodels 0.15."""
    assert mcnemar_p(121, 59) == pytest.approx(4.4344492637551645e-06, rel=1e-12)
    assert mcnemar_p(3, 10) == pytest.approx(0.09228515625, rel=1e-12)
    assert mcnemar_p(5, 5) == 1.0
    assert mcnemar_p(0, 0) == 1.0


def test_the_interval_of_accuracies_is_that_of_drawn_samples() -> None:
    right = DRAW.random((2, 80)) < [[0.7], [0.8]]
    low, high = accuracy_interval([Agreement.of(right[0], right[1])])
    difference = right[1].astype(float) - right[0]
    wanted = bootstrap((difference,), np.mean, n_resamples=9999, method="percentile", random_state=1)
    assert [low, high] == pytest.approx(list(wanted.confidence_interval), abs=0.013)
    assert accuracy_interval([Agreement.of(right[0], right[0])] * 2) == (0.0, 0.0)
