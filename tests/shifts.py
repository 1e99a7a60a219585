"""Made-up predictions of the three splits that prevalence shift is studied on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

COUNTS: Mapping[str, Sequence[int]] = {"dev_cal": (30, 20), "dev_test": (25, 25), "app_test": (120, 60)}


def make_predictions(seed: int, counts: Mapping[str, Sequence[int]] = COUNTS) -> pd.DataFrame:
    """Return sample_id, target, logit_0, …, split: so many samples of each class, in random order."""
    generator = np.random.default_rng(seed)
    return pd.concat([_make_split(generator, split, of_class) for split, of_class in counts.items()], ignore_index=True)


def _make_split(generator: np.random.Generator, split: str, counts: Sequence[int]) -> pd.DataFrame:
    targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    logits = generator.normal(size=(len(targets), len(counts))) + 1.5 * np.eye(len(counts))[targets]
    frame = pd.DataFrame(logits.astype(np.float32), columns=[f"logit_{number}" for number in range(len(counts))])
    frame.insert(0, "sample_id", [f"{split}_{number}" for number in range(len(targets))])
    frame.insert(1, "target", targets)
    return frame.assign(split=split)
