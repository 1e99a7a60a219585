from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.errors import UsageError
from seedfold.jobs.imbalance import class_weights, long_tail_counts, long_tail_shares, share_weights

ratios = st.floats(1, 1000)
classes = st.integers(2, 30)


@given(ratios, classes)
def test_shares_fall_by_equal_factors_from_the_most_frequent_to_the_rarest(ratio: float, classes: int) -> None:
    shares = long_tail_shares(ratio, classes)
    assert math.isclose(sum(shares), 1)
    assert math.isclose(shares[0] / shares[-1], ratio)
    steps = [after / before for before, after in pairwise(shares)]
    assert all(math.isclose(step, steps[0]) for step in steps)


@given(ratios, classes)
def test_weights_have_mean_one_and_make_every_class_count_the_same(ratio: float, classes: int) -> None:
    weights = class_weights("ratio", ratio, classes)
    assert weights is not None
    assert math.isclose(sum(weights) / classes, 1)
    parts = [weight * share for weight, share in zip(weights, long_tail_shares(ratio, classes), strict=True)]
    assert all(math.isclose(part, parts[0]) for part in parts)


def test_weights_of_a_known_case() -> None:
    assert class_weights("ratio", 4, 3) == pytest.approx([3 / 7, 6 / 7, 12 / 7])
    assert class_weights("none", 4, 3) is None
    assert class_weights("ratio", None, 2) == [1.0, 1.0]


def test_weights_of_shares_undo_them_whether_shares_or_counts() -> None:
    assert share_weights("shares", [0.9, 0.1]) == pytest.approx([0.2, 1.8])
    assert share_weights("shares", [32542, 584]) == pytest.approx([2 * 584 / 33126, 2 * 32542 / 33126])
    assert share_weights("none", [0.9, 0.1]) is None


@given(st.lists(st.integers(1, 2000), min_size=2, max_size=20), st.floats(1, 100))
def test_counts_are_available_never_zero_and_as_many_as_the_data_allow(available: list[int], ratio: float) -> None:
    counts = long_tail_counts(available, ratio)
    assert all(1 <= count <= there for count, there in zip(counts, available, strict=True))
    shares = long_tail_shares(ratio, len(available))
    scale = min(there / share for there, share in zip(available, shares, strict=True))
    for count, share in zip(counts, shares, strict=True):
        assert count == 1 or abs(count - scale * share) < 1.001
    assert any(abs(count - there) <= 1 for count, there in zip(counts, available, strict=True))


def test_counts_of_a_known_case() -> None:
    assert long_tail_counts([100, 100, 100], 4) == [100, 50, 25]
    assert long_tail_counts([100, 40, 100], 4) == [80, 40, 20]
    assert long_tail_counts([7, 5, 6], 1) == [5, 5, 5]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: long_tail_shares(2, 1), "task.classes: 1"),
        (lambda: long_tail_shares(0.5, 3), "sampling.imbalance_ratio: 0.5"),
        (lambda: long_tail_shares(math.nan, 3), "sampling.imbalance_ratio: nan"),
        (lambda: class_weights("rtaio", 2, 3), "loss.weighting: 'rtaio'"),  # type: ignore[arg-type]
        (lambda: share_weights("ratio", [0.9, 0.1]), "loss.weighting: 'ratio'"),  # type: ignore[arg-type]
        (lambda: share_weights("shares", [1.0, 0.0]), "loss.shares: .* are not shares"),
        (lambda: long_tail_counts([3, 0, 2], 2), "class 1 has no training sample"),
    ],
)
def test_what_cannot_be_is_one_line(call: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
