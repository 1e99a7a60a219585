"""Class weights for training under prevalence shift: the loss weights for a deployment at another imbalance ratio.

Formulas of Godau et al., "Deployment of Image Analysis Algorithms under Prevalence Shifts", MICCAI 2023 (from the code
of this study). They are computed in single precision, in the study's order of operations, and returned as Python
floats. The study has one tensor of torch for each class: sums go from class to class, and a number that is divided by a
tensor is multiplied by its reciprocal. The last bit of the weights depends on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedfold.jobs.derivation import derivation
from seedfold.jobs.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@derivation
def scaled_prevalences(counts: Sequence[int], ratio: float) -> list[float]:
    """Return the prevalences of classes with these ``counts`` after scaling to max/min ``ratio``; they sum to 1.

    Let p be the prevalences and R = max p / min p. For ratio ≥ R every class but the most frequent becomes
    p_i·max/(min·ratio); otherwise p_i becomes min + (ratio - 1)/(R - 1)·(p_i - min). Then all are divided by their sum.
    Raises UsageError for fewer than two classes, a class without samples, or a ratio below 1.
    """
    return [float(value) for value in _scale_prevalences(_class_prevalences(counts), _require_ratio(ratio))]


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
        weights = weights / trained
    # The sum is 1 already. The study divides by it again, and the last bit depends on that.
    return [float(weight) for weight in weights / _sum_in_order(weights)]


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


def _class_prevalences(counts: Sequence[int]) -> Floats:
    import numpy as np

    if len(counts) < 2:
        raise UsageError(f"class_counts: {len(counts)} classes have no prevalences; give at least 2")
    if min(counts) < 1:
        raise UsageError(f"class_counts: class {list(counts).index(min(counts))} has no samples")
    return np.asarray(counts, dtype=np.float32) / np.float32(sum(counts))


def _scale_prevalences(prevalences: Floats, ratio: float) -> Floats:
    import numpy as np

    smallest, largest = prevalences.min(), prevalences.max()
    current_ratio = largest / smallest
    if np.float32(ratio) >= current_ratio:
        scaled = prevalences * largest / (smallest * np.float32(ratio))
        scaled[prevalences.argmax()] = largest
    else:
        share = (np.float32(1) / (current_ratio - np.float32(1))) * np.float32(ratio - 1)
        scaled = smallest + share * (prevalences - smallest)
    return np.asarray(scaled / _sum_in_order(scaled), dtype=np.float32)


def _sum_in_order(values: Floats) -> np.float32:
    import numpy as np

    total = np.float32(0)
    for value in values:
        total = np.float32(total + value)
    return total
