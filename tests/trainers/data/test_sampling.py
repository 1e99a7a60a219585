from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.sampling import TrainingOrder, draw_long_tail, make_order


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    ratio=st.floats(1, 30),
    seed=st.integers(0, 1000),
)
def test_resampling_keeps_real_samples_once_each_and_every_class(counts: list[int], ratio: float, seed: int) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    kept = draw_long_tail(targets, len(counts), ratio, seed)
    assert np.array_equal(kept, np.unique(kept))
    assert set(targets[kept]) == set(range(len(counts)))
    assert np.array_equal(kept, draw_long_tail(targets, len(counts), ratio, seed))


def test_resampling_reaches_the_ratio() -> None:
    targets = np.arange(10_000) % 10
    found = np.bincount(targets[draw_long_tail(targets, 10, 10.0, 0)])
    assert found[0] == 1000
    assert found[-1] == 100
    assert np.all(np.diff(found) < 0)


def test_another_seed_keeps_other_samples_and_no_ratio_keeps_all() -> None:
    targets = np.arange(300) % 3
    assert not np.array_equal(draw_long_tail(targets, 3, 5.0, 0), draw_long_tail(targets, 3, 5.0, 1))
    assert np.array_equal(draw_long_tail(targets, 3, None, 0), np.arange(300))


def test_resampling_refuses_an_empty_class_and_a_ratio_below_one() -> None:
    with pytest.raises(DataFailure, match="class 2 has no training sample"):
        draw_long_tail(np.array([0, 1, 1]), 3, 2.0, 0)
    with pytest.raises(ConfigFailure, match=r"imbalance_ratio: 0\.5"):
        draw_long_tail(np.array([0, 1, 1]), 2, 0.5, 0)


@given(st.integers(1, 200), st.integers(0, 5), st.integers(0, 50))
def test_a_shuffled_epoch_visits_each_sample_once(count: int, seed: int, epoch: int) -> None:
    visited = TrainingOrder(np.zeros(count, np.int64), seed).positions(epoch)
    assert np.array_equal(np.sort(visited), np.arange(count))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    orders = {
        (seed, epoch): TrainingOrder(np.zeros(50, np.int64), seed).positions(epoch)
        for seed in range(3)
        for epoch in range(3)
    }
    assert len({tuple(visited) for visited in orders.values()}) == 9
    assert np.array_equal(orders[1, 2], TrainingOrder(np.zeros(50, np.int64), 1).positions(2))


def test_balanced_draws_make_classes_equally_frequent() -> None:
    targets = np.repeat([0, 1, 2], [9000, 900, 100])
    drawn = np.bincount(targets[make_order(targets, {"draw": "balanced"}, 0).positions(0)], minlength=3) / 10_000
    assert drawn == pytest.approx([1 / 3] * 3, abs=0.02)


def test_an_unknown_draw_is_refused() -> None:
    with pytest.raises(ConfigFailure, match=r"sampling.draw: 'balance'"):
        make_order(np.array([0, 1]), {"draw": "balance"}, 0)
