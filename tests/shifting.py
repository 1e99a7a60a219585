"""Predictions of a classifier that was never trained, for tests of prevalence shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seedfold.results.prevalence.deployment import PredictedSplits
from seedfold.results.prevalence.members import PredictedSamples


def make_predicted(
    generator: np.random.Generator, counts: Sequence[int], scale: float = 1.0, skill: float = 1.5
) -> PredictedSamples:
    """As many samples of each class as asked for, in any order.

    Given equally frequent classes, the softmax of the logits over ``scale`` is the posterior.
    """
    targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    features = generator.normal(size=(len(targets), len(counts))) + skill * np.eye(len(counts))[targets]
    return PredictedSamples(targets, (skill * scale * features).astype(np.float32))


def make_splits(seed: int, classes: int = 2, samples_per_class: int = 60, scale: float = 1.0) -> PredictedSplits:
    """A task in which class 0 is twice as frequent as the others; ``dev_test`` is balanced."""
    generator = np.random.default_rng(seed)
    natural = [2 * samples_per_class] + [samples_per_class] * (classes - 1)
    return PredictedSplits(
        make_predicted(generator, natural, scale),
        make_predicted(generator, [samples_per_class] * classes, scale),
        make_predicted(generator, [4 * count for count in natural], scale),
    )
