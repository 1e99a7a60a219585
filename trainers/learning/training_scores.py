"""The loss and metrics of training samples, as metrics of a job: those of the epoch whose weights predict.

They are the columns ``train/eval_loss`` and ``train/METRIC`` of ``epochs.csv``; an estimator is scored on the samples
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seedfold.results.store.metrics import classification_metrics, log_probabilities
from seedfold.results.store.published import MetricRecord
from seedfold.trainers.data.samples import Floats, Indices
from seedfold.trainers.learning.checkpoint_files import FinishedFit
from seedfold.trainers.learning.validation import MAIN_HEAD, TRAINING

_LOSS_COLUMN = "train/loss"


def training_scores(finished: FinishedFit, role: str) -> list[MetricRecord]:
    """Return the scores of the ``best`` or ``last`` epoch; each head with its own best epoch has its own."""
    if not finished.history:
        return []
    best = finished.best if role == "best" else None
    epoch = best.epoch if best else finished.epochs - 1
    epochs = {head: own.epoch for head, own in finished.heads.items()} if role == "best" else {}
    records = []
    for column in finished.history[0]:
        split, _, name = column.partition("/")
        if split == TRAINING and column != _LOSS_COLUMN:
            head, metric = name.split("/") if "/" in name else (MAIN_HEAD, name)
            value = finished.history[epochs.get(head, epoch)][column]
            records.append(MetricRecord(split=TRAINING, head=head, metric=metric, value=value))
    return records


def score_estimator(logits: Mapping[str, Floats], targets: Indices) -> list[MetricRecord]:
    """Return the metrics of the logits (n, k) that an estimator gives to its training samples."""
    scores: dict[str, Any] = {
        head: classification_metrics(np.asarray(targets), log_probabilities(each)) for head, each in logits.items()
    }
    return [
        MetricRecord(split=TRAINING, head=head, metric=metric, value=value)
        for head, found in scores.items()
        for metric, value in found.items()
    ]


__all__ = ["score_estimator", "training_scores"]
