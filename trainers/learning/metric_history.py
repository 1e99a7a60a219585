"""``epochs.csv``: one row of metrics for each finished epoch, written whole when training is done."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from seedfold.results.store.published import HISTORY_FILE


def write_history(staging: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the metric history; the columns are ``epoch, lr, train/loss, val/loss`` and the validation metrics.

    ``train/loss`` is the mean over the batches of the epoch, augmented and while weights changed. If training samples
    are scored as well, ``train/eval_loss`` and the metrics ``train/METRIC`` are theirs after the epoch.

    Numbers are written so that reading them gives the same bits. An empty history writes no file.
    """
    if not history:
        return
    with (staging / HISTORY_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
