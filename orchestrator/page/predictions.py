"""The predictions of a job, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.page.answers import not_found
from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.overview import JobView
from seedfold.results.store.metrics import log_probabilities
from seedfold.results.store.predictions import HeadPredictions, find_predictions, read_heads
from seedfold.results.store.thumbnails import read_thumbnails
from seedfold.results.store.worst_samples import rank_rows, sample_errors

_COLUMNS = (
    ("sample", "text"),
    ("head", "text"),
    ("target", "number"),
    ("predicted", "number"),
    ("probability_of_target", "number"),
    ("error", "number"),
)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _RankedPredictions:
    """The heads of a split, the errors of their rows, and all rows in the order of their errors: (head, row)."""

    heads: Sequence[HeadPredictions]
    errors: Sequence[Floats]
    order: npt.NDArray[np.int64]

    @classmethod
    def read(cls, file: Path) -> _RankedPredictions:
        heads = list(read_heads(file))
        errors = [sample_errors(head) for head in heads]
        return cls(heads, errors, rank_rows(errors))

    def row(self, number: int, row: int) -> list[Any]:
        """One row of the table."""
        head, error = self.heads[number], float(self.errors[number][row])
        predicted = head.logits[row, 0] if head.is_regression else _log_p(head, slice(row, row + 1))[0].argmax()
        target = head.targets[row].item() if head.known[row] else None
        probability = None if head.is_regression or target is None else float(np.exp(-error))
        return [
            head.ids[row].as_py(),
            head.head,
            target,
            predicted.item(),
            probability,
            None if np.isnan(error) else error,
        ]


def make_predictions(study: KeptStudy, view: JobView, split: str | None, page: int, size: int) -> dict[str, Any]:
    """Return one page of the predictions of a split, by default of the test or the validation split.

    The error of a class is the log loss of the sample, that of a number its distance to the target.
    """
    files: dict[str, Path] = {}
    if view.state == "done":
        folder = view.job_state.holding_study.result_folder(view.job.id, view.job_state.attempt)
        files = find_predictions(folder)
    if split is not None and split not in files:
        listed = ", ".join(files) or "none"
        raise UsageError(f"split={split[:80]}: the job has no such split{did_you_mean(split, files)}; splits: {listed}")
    pictures: Mapping[str, bytes] = {}
    chosen = split or next((name for name in ("test", "val", *files) if name in files), None)
    rows, total = [], 0
    if chosen is not None:
        key = view.job.id, view.job_state.attempt, chosen
        ranked = study.predictions.get(key, lambda: _RankedPredictions.read(files[chosen]))
        rows = [ranked.row(*place) for place in ranked.order[(page - 1) * size : page * size].tolist()]
        total = len(ranked.order)
        pictures = _read_pictures(study, view, chosen)
    return {
        "splits": list(files),
        "split": chosen,
        "columns": [{"key": key, "name": key.replace("_", " "), "kind": kind} for key, kind in _COLUMNS],
        "rows": rows,
        "total": total,
        "page": page,
        "size": size,
        "images": bool(pictures),
        "with_image": [row[0] for row in rows if row[0] in pictures],
    }


def find_image(study: KeptStudy, view: JobView, split: str | None, sample: str) -> bytes:
    """Return the PNG of a sample that the job has kept. Raises 404 if it has kept none."""
    found = _read_pictures(study, view, split).get(sample) if split and view.state == "done" else None
    if found is None:
        raise not_found(f"{study.name}: {view.job.short_id} has kept no thumbnail of {sample[:80]!r}")
    return found


def _read_pictures(study: KeptStudy, view: JobView, split: str) -> Mapping[str, bytes]:
    key = view.job.id, view.job_state.attempt, split, "thumbnails"
    folder = view.job_state.holding_study.result_folder(view.job.id, view.job_state.attempt)
    return study.predictions.get(key, lambda: read_thumbnails(folder, split))


def _log_p(head: HeadPredictions, rows: slice) -> Floats:
    return np.asarray(log_probabilities(head.logits[rows]), dtype=np.float64)
