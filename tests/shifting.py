"""Predictions of a classifier that was never trained, for tests of prevalence shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seedfold.results.prevalence.deployment import Splits
from seedfold.results.prevalence.members import Predicted


def predicted(random: np.random.Generator, counts: Sequence[int], scale: float = 1.0, skill: float = 1.5) -> Predicted:
    """As many samples of each class as asked for, in any order.

    Given equally frequent classes, the softmax of the logits over ``scale`` is the posterior.
    """
    targets = random.permutation(np.repeat(np.arange(len(counts)), counts))
    features = random.normal(size=(len(targets), len(counts))) + skill * np.eye(len(counts))[targets]
    return Predicted(targets, (skill * scale * features).astype(np.float32))


def splits(seed: int, classes: int = 2, each: int = 60, scale: float = 1.0) -> Splits:
    """A task in which class 0 is twice as frequent as the others; ``dev_test`` is balanced."""
    random = np.random.default_rng(seed)
    natural = [2 * each] + [each] * (classes - 1)
    return Splits(
        predicted(random, natural, scale),
        predicted(random, [each] * classes, scale),
        predicted(random, [4 * count for count in natural], scale),
    )
