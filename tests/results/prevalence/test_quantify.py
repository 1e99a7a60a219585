from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.work import DataFailure
from seedfold.results.prevalence.estimate import weights
from seedfold.results.prevalence.quantify import QUANTIFIERS, confusion, shares
from seedfold.results.prevalence.scaling import LEAST, ImpossibleScaling, resample, scaled_counts

COUNTS = st.lists(st.integers(1, 5000), min_size=2, max_size=8)


@settings(deadline=None)
@given(COUNTS, st.integers(0, 18).map(lambda step: 1 + step / 2))
def test_scaled_counts_are_there_and_have_the_ratio(counts: list[int], ratio: float) -> None:
    try:
        kept = scaled_counts(counts, ratio)
    except ImpossibleScaling:
        return
    assert kept.min() >= LEAST
    assert all(kept <= counts)
    if max(counts) > min(counts):
        # Each count is cut to a whole number.
        assert kept.max() / (kept.min() + 1) <= ratio + 1e-4
        assert (kept.max() + 1) / kept.min() >= ratio - 1e-4


def test_too_few_samples_are_named_with_their_class() -> None:
    with pytest.raises(ImpossibleScaling, match="ratio 10 would leave 8 samples of class 1"):
        scaled_counts([80, 40], 10)


def test_resampling_draws_class_after_class_and_the_same_again() -> None:
    targets = np.array([0, 1, 1, 0] * 60)
    rows = resample(targets, 2, 2.0)
    assert np.bincount(targets[rows]).tolist() == [120, 60]
    assert (np.diff(targets[rows]) >= 0).all()
    assert len(set(rows)) == len(rows)
    assert (resample(targets, 2, 2.0) == rows).all()
    assert not np.array_equal(resample(targets, 2, 2.0, base_seed=43), rows)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_quantifiers_that_correct_find_the_truth_where_the_confusion_is_the_same(seed: int, classes: int) -> None:
    """Prevalences that explain what is observed exactly: all but CC have to find them."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(classes), 500)
    right = random.random(len(targets)) < 0.8
    labels = np.where(right, targets, random.integers(classes, size=len(targets)))
    rates = confusion(targets, labels, classes) * classes
    truth = random.dirichlet(np.full(classes, 5.0))
    observed = truth @ rates
    assert np.allclose(QUANTIFIERS["CC"](targets, labels, observed), observed)
    assert np.allclose(QUANTIFIERS["BBSE"](targets, labels, observed), truth, atol=1e-6)
    assert np.allclose(QUANTIFIERS["ACC"](targets, labels, observed), truth, atol=2e-3)


def test_class_that_is_never_chosen_does_not_make_estimates_infinite() -> None:
    targets, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 0])
    observed = shares(np.array([0, 1, 1, 1]), 3)
    for name in ("BBSE", "ACC"):
        estimate = QUANTIFIERS[name](targets, labels, observed)
        assert np.isfinite(estimate).all()
        assert (estimate >= -1e-12).all()


def test_estimate_of_zero_is_never_a_weight_of_zero_unless_that_is_asked_for() -> None:
    estimate = np.array([0.25, 0.0, 0.75])
    with pytest.raises(DataFailure, match="class 1 is estimated to be absent"):
        weights(estimate, "error", 1e-8, None)
    assert min(weights(estimate, "epsilon", 1e-8, None)) == pytest.approx(1e-8)
    assert weights(estimate, "as_published", 1e-8, None) == [0.25, 0.0, 0.75]
    unbalanced = weights(np.array([0.5, 0.5]), "error", 1e-8, np.array([0.8, 0.2]))
    assert unbalanced == pytest.approx([0.2, 0.8])
