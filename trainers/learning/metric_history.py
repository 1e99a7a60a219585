"""One row of metrics for each finished epoch: ``epochs.csv``, written whole when training is done, and what people see
of it while the job trains.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.metric_log import append_metrics
from seedfold.results.store.published import HISTORY_FILE

_log = logging.getLogger(__name__)


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


def record_epoch(row: Mapping[str, float]) -> None:
    """Show people the row of an epoch while the job runs; nothing to do outside of jobs.

    A job does not fail because this cannot be written: a warning is logged instead.
    """
    attempt = Attempt.of_this_process()
    if attempt is None:
        return
    metrics = {name: value for name, value in row.items() if name != "epoch"}
    try:
        append_metrics(attempt.records, attempt.number, int(row["epoch"]), metrics, "epochs")
    except OSError as error:
        _log.warning("the metrics of the epoch cannot be shown: %s", error)
