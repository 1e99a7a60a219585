from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import seedfold.conf
from seedfold.jobs.errors import UsageError
from seedfold.trainers.studies.prevalence_shifts.deployment_weights import loss_weights, scaled_prevalences

COUNTS = st.lists(st.integers(1, 100_000), min_size=2, max_size=23)
RATIOS = st.integers(0, 18).map(lambda step: 1 + step / 2)


def in_double_precision(counts: list[int], ratio: float, balanced: bool) -> list[float]:
    """The formula by hand, on Python's floats."""
    p = [count / sum(counts) for count in counts]
    least, most = min(p), max(p)
    if ratio >= most / least:
        top = p.index(most)
        scaled = [value if number == top else value * most / (least * ratio) for number, value in enumerate(p)]
    else:
        t = (ratio - 1) / (most / least - 1)
        scaled = [least + t * (value - least) for value in p]
    weights = scaled if balanced else [value / given for value, given in zip(scaled, p, strict=True)]
    return [weight / sum(weights) for weight in weights]


def with_tensors(counts: list[int], ratio: float) -> list[float]:
    """The weights with balanced sampling as the study computes them: a dictionary of tensors of torch, one a class."""
    p = {number: torch.tensor(count, dtype=torch.float32) / sum(counts) for number, count in enumerate(counts)}
    least, most = min(p.values()), max(p.values())
    top = next(number for number, value in p.items() if value == most)
    if ratio >= most / least:
        scaled = {number: value if number == top else value * most / (least * ratio) for number, value in p.items()}
    else:
        share = (ratio - 1) / (most / least - 1)
        scaled = {number: least + share * (value - least) for number, value in p.items()}
    for _ in range(2):
        total = sum(scaled.values())
        scaled = {number: value / total for number, value in scaled.items()}
    return [float(value) for value in scaled.values()]


@settings(deadline=None)
@given(COUNTS, RATIOS, st.booleans())
def test_weights_agree_with_double_precision(counts: list[int], ratio: float, balanced: bool) -> None:
    # Near the given ratio single precision may take the other branch; both then mean the same.
    expected = in_double_precision(counts, ratio, balanced)
    assert loss_weights(counts, ratio, balanced) == pytest.approx(expected, rel=2e-5, abs=1e-7)


@settings(deadline=None)
@given(COUNTS, RATIOS)
def test_scaled_prevalences_have_the_ratio_the_order_and_the_sum(counts: list[int], ratio: float) -> None:
    scaled = scaled_prevalences(counts, ratio)
    assert sum(scaled) == pytest.approx(1, abs=1e-6)
    if max(counts) > min(counts):
        assert max(scaled) / min(scaled) == pytest.approx(ratio, rel=1e-4)
    pairs = [(low, high) for low in range(len(counts)) for high in range(len(counts)) if counts[low] < counts[high]]
    assert all(scaled[low] <= scaled[high] * (1 + 1e-5) for low, high in pairs)


def test_two_classes_depend_on_the_ratio_alone() -> None:
    for counts in ([100, 900], [3, 4], [500, 20]):
        rare, common = sorted(loss_weights(counts, 2.5, balanced=True))
        assert (rare, common) == (pytest.approx(1 / 3.5, abs=1e-7), pytest.approx(2.5 / 3.5, abs=1e-7))


@pytest.mark.parametrize(
    ("counts", "ratio", "says"),
    [([5], 2.0, "1 classes"), ([5, 0], 2.0, "class 1 has no samples"), ([5, 6], 0.5, "imbalance_ratio: 0.5")],
)
def test_what_has_no_weights_is_refused(counts: list[int], ratio: float, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        loss_weights(counts, ratio, balanced=True)


def test_weights_of_the_study_agree_with_double_precision() -> None:
    files = Path(seedfold.conf.__file__).parent.glob("task/*.yaml")
    tasks = [task for task in map(yaml.safe_load, map(Path.read_text, files)) if task.get("class_counts")]
    assert len(tasks) == 30
    for task in tasks:
        for ratio in [1 + step / 2 for step in range(19)]:
            expected = in_double_precision(task["class_counts"], ratio, balanced=True)
            found = loss_weights(task["class_counts"], ratio, balanced=True)
            assert found == pytest.approx(expected, rel=0, abs=1e-7)
            assert found == with_tensors(task["class_counts"], ratio), "to the last bit"
