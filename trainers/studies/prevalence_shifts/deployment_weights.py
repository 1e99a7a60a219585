"""Class weights for training under prevalence shift: the loss weights for a deployment at another imbalance ratio.

Formulas of Godau et al., "Deployment of Image Analysis Algorithms under Prevalence Shifts", MICCAI 2023 (from the code
of this study). They are computed in single precision, in the study's order of operations, and returned as Python
floats: each operation is one in double precision that is rounded, which gives the bits of single precision. The study
has one tensor of torch for each class: sums go from class to class, and a number that is divided by a tensor is
multiplied by its reciprocal. The last bit of the weights depends on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_float
from typing import Any

from seedfold.jobs.derivation import derivation
from seedfold.jobs.errors import UsageError


@derivation
def scaled_prevalences(counts: Sequence[int], ratio: float) -> list[float]:
    """Return the prevalences of classes with these ``counts`` after scaling to max/min ``ratio``; they sum to 1.

    Let p be the prevalences and R = max p / min p. For ratio ≥ R every class but the most frequent becomes
    p_i·max/(min·ratio); otherwise p_i becomes min + (ratio - 1)/(R - 1)·(p_i - min). Then all are divided by their sum.
    Raises UsageError for fewer than two classes, a class without samples, or a ratio below 1.
    """
    return _scale_prevalences(_class_prevalences(counts), _require_ratio(ratio))


@derivation
def loss_weights(counts: Sequence[int], ratio: float, balanced: bool) -> list[float]:
    """Return one loss weight per class for a deployment with the imbalance ratio ``ratio``; the weights sum to 1.

    ``counts`` are the class counts of training. If training draws every class equally often (``balanced``), the weights
    are the scaled prevalences; otherwise they are these divided by the prevalences of training. Raises as
    `scaled_prevalences`.
    """
    trained = _class_prevalences(counts)
    weights = _scale_prevalences(trained, _require_ratio(ratio))
    if not balanced:
        weights = [_single(weight / share) for weight, share in zip(weights, trained, strict=True)]
    # The sum is 1 already. The study divides by it again, and the last bit depends on that.
    return _divided_by_sum(weights)


@derivation
def deployment_weights(
    counts: Sequence[int] | None, ratio: float, draw: str, split: str
) -> list[float] | dict[str, Any]:
    """Return `loss_weights` for a training that draws samples as ``draw`` says; ``balanced`` balances the classes.

    If the ``counts`` of training are not known before, the weights are computed when the job starts, from the
    ``class_counts`` that the stage ``split`` published. Raises as `loss_weights`.
    """
    if counts is not None:
        return loss_weights(counts, ratio, draw == "balanced")
    return {
        "_target_": f"{__name__}.{loss_weights.__name__}",
        "counts": f"${{result:{split},class_counts}}",
        "ratio": _require_ratio(ratio),
        "balanced": draw == "balanced",
    }


def _require_ratio(ratio: float) -> float:
    if not 1 <= ratio < float("inf"):
        raise UsageError(
            f"imbalance_ratio: {ratio} is not a ratio of the largest to the smallest class; give at least 1"
        )
    return float(ratio)


def _class_prevalences(counts: Sequence[int]) -> list[float]:
    if len(counts) < 2:
        raise UsageError(f"class_counts: {len(counts)} classes have no prevalences; give at least 2")
    if min(counts) < 1:
        raise UsageError(f"class_counts: class {list(counts).index(min(counts))} has no samples")
    total = _single(sum(counts))
    return [_single(_single(count) / total) for count in counts]


def _scale_prevalences(prevalences: Sequence[float], ratio: float) -> list[float]:
    smallest, largest = min(prevalences), max(prevalences)
    current_ratio = _single(largest / smallest)
    if _single(ratio) >= current_ratio:
        divisor = _single(smallest * _single(ratio))
        scaled = [_single(_single(share * largest) / divisor) for share in prevalences]
        scaled[prevalences.index(largest)] = largest
    else:
        factor = _single(_single(1 / _single(current_ratio - 1)) * _single(ratio - 1))
        scaled = [_single(smallest + _single(factor * _single(share - smallest))) for share in prevalences]
    return _divided_by_sum(scaled)


def _divided_by_sum(values: Sequence[float]) -> list[float]:
    total = 0.0
    for value in values:
        total = _single(total + value)
    return [_single(value / total) for value in values]


def _single(value: float) -> float:
    """Return the number of single precision that is nearest to ``value``."""
    return c_float(value).value
