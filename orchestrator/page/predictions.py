"""The predictions of a job, the worst first."""

from __future__ import annotations

from typing import Any

import numpy as np

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.overview import JobView
from seedfold.results.store.metrics import log_probabilities
from seedfold.results.store.predictions import HeadPredictions, find_predictions, read_heads

_COLUMNS = (
    ("sample", "text"),
    ("head", "text"),
    ("target", "number"),
    ("predicted", "number"),
    ("probability_of_target", "number"),
    ("error", "number"),
)
Row = tuple[Any, ...]


def make_predictions(study: KeptStudy, view: JobView, split: str | None, page: int, size: int) -> dict[str, Any]:
    """Return one page of the predictions of a split, by default of the test or the validation split.

    The error of a class is the log loss of the sample, that of a number its distance to the target.
    """
    files = {}
    if view.state == "done":
        folder = view.job_state.holding_study.result_folder(view.job.id, view.job_state.attempt)
        files = find_predictions(folder)
    if split is not None and split not in files:
        listed = ", ".join(files) or "none"
        raise UsageError(f"split={split[:80]}: the job has no such split{did_you_mean(split, files)}; splits: {listed}")
    chosen = split or next((name for name in ("test", "val", *files) if name in files), None)
    rows: list[Row] = []
    if chosen is not None:
        key = "predictions", view.job.id, view.job_state.attempt, chosen
        rows = study.answers.get(key, lambda: [row for head in read_heads(files[chosen]) for row in _rows(head)])
        rows = study.answers.get(("worst", *key), lambda: sorted(rows, key=_badness))
    return {
        "splits": list(files),
        "split": chosen,
        "columns": [{"key": key, "name": key.replace("_", " "), "kind": kind} for key, kind in _COLUMNS],
        "rows": rows[(page - 1) * size : page * size],
        "total": len(rows),
        "page": page,
        "size": size,
        # Results name their samples; where the image of a sample is, only the program that has read it knows.
        "images": False,
    }


def _badness(row: Row) -> float:
    """Sorts the largest error first, and samples whose target is not known last."""
    return np.inf if row[-1] is None else -row[-1]


def _rows(head: HeadPredictions) -> list[Row]:
    known, ids = head.known.tolist(), head.ids.to_pylist()
    names = [head.head] * len(ids)
    if head.is_regression:
        predicted = head.logits[:, 0].astype(float)
        errors = np.abs(predicted - np.where(head.known, head.targets, np.nan))
        found = zip(
            ids, names, head.targets.tolist(), predicted.tolist(), [None] * len(ids), errors.tolist(), strict=True
        )
    else:
        log_p = log_probabilities(head.logits)
        targets = np.where(head.known, head.targets, 0).astype(np.int64)
        of_target = log_p[np.arange(len(ids)), targets]
        guessed = log_p.argmax(axis=1).tolist()
        found = zip(
            ids, names, targets.tolist(), guessed, np.exp(of_target).tolist(), (-of_target).tolist(), strict=True
        )
    return [
        row if is_known else (row[0], row[1], None, row[3], None, None)
        for row, is_known in zip(found, known, strict=True)
    ]
