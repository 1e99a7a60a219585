"""The learning curves of a job, while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.running_jobs import read_rows
from seedfold.results.evaluation.learning_curves import read_histories
from seedfold.results.recording.attempt_file import RECORDS, Attempt
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.published import HISTORY_FILE

Points = Sequence[tuple[int, float | None]]
"""Epochs, or the steps that a program logged, with values; None for one that is not a finite number."""
_NO_CURVES = ("job", "epoch")


def has_curves(view: JobView) -> bool:
    """Whether a job has recorded anything by epoch or step."""
    if view.state == "done":
        return HISTORY_FILE in view.result_files
    return view.attempt > 0 and (view.job_state.holding_study.job_folder(view.id) / RECORDS).is_dir()


def read_curves(view: JobView) -> Mapping[str, Points]:
    """Return the curves of a job by the name of the metric; none if it has recorded nothing yet."""
    state, job = view.job_state, view.job
    if state.state != "done":
        attempt = Attempt(job, state.attempt, state.holding_study.job_folder(job.id))
        rows = read_rows(attempt) if attempt.records.is_dir() else {}
        names = dict.fromkeys(name for row in rows.values() for name in row)
        return {name: [(step, _finite(row[name])) for step, row in rows.items() if name in row] for name in names}
    folder = state.holding_study.result_folder(job.id, state.attempt)
    history = read_histories([FinishedJob(job.id, job.study, job.stage, job.axes, state.attempt, folder)])
    return {
        str(name): [
            (int(epoch), _finite(value)) for epoch, value in history[["epoch", name]].dropna().itertuples(index=False)
        ]
        for name in history
        if name not in _NO_CURVES and history[name].dtype.kind in "fi"
    }


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
