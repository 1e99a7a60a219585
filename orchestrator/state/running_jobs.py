"""What running jobs are doing: how far they are, the metric that they watch, and how much time they have left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.state.job_views import others_of
from seedfold.orchestrator.state.overview import JobView, unique_by_id
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.collect import find_monitor
from seedfold.results.recording.metric_log import Row, read_metrics
from seedfold.results.recording.progress import JobProgress, read_progress

_EPOCH_KEYS = ("max_epochs", "epochs", "num_epochs", "n_epochs")


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A running job. ``epoch`` of ``epochs`` are finished; both are None if the job does not tell how far it is.

    ``metric`` is the one that the configuration watches, ``value`` its last value and ``previous`` the one before.
    ``elapsed_s`` and ``left_s`` are seconds; ``left_s`` is None as long as it is not known. ``gpus`` are their numbers
    on the host.
    """

    job: JobDescription
    host: str
    elapsed_s: float
    epoch: int | None = None
    epochs: int | None = None
    metric: str | None = None
    value: float | None = None
    previous: float | None = None
    left_s: float | None = None
    gpus: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The host, without its domain, and the numbers of the GPUs: ``node12 GPU 1``."""
        gpus = f"GPU {','.join(self.gpus)}" if self.gpus else ""
        return " ".join(filter(None, (self.host.split(".")[0], gpus)))

    def to_json(self) -> dict[str, Any]:
        """The shape that ``status --json`` prints."""
        shown = {"epoch": self.epoch, "epochs": self.epochs, "metric": self.metric, "value": self.value}
        return {"id": self.job.id, "axes": dict(self.job.axes), **shown}


def find_running(views: Iterable[JobView]) -> list[RunningJob]:
    """Return the running jobs, in the order of the study."""
    now = time.time()
    return [_look(view, now) for view in others_of(unique_by_id(views)) if view.state == "running"]


def _look(view: JobView, now: float) -> RunningJob:
    event, state = view.job_state.event or {}, view.job_state
    attempt = Attempt(view.job, state.attempt, state.holding_study.job_folder(view.job.id))
    progress, rows = read_progress(attempt), read_rows(attempt)
    steps = list(rows)
    if progress is None and steps:
        progress = _progress_of_steps(steps, view.job.config)
    metric = _watched_metric(view.job.config, rows)
    values = [row[metric] for row in rows.values() if metric in row] if metric else []
    return RunningJob(
        job=view.job,
        host=str((event.get("process") or {}).get("host") or ""),
        elapsed_s=max(0.0, now - float(event.get("t", now))),
        epoch=progress.done if progress else None,
        epochs=progress.total or None if progress else None,
        metric=metric,
        value=values[-1] if values else None,
        previous=values[-2] if len(values) > 1 else None,
        left_s=progress.seconds_left(now) if progress else None,
        gpus=tuple(event.get("gpus") or ()),
    )


def read_rows(attempt: Attempt) -> Mapping[int, Row]:
    """The metrics by epoch, from our trainers or from the job's own program; none if the job has ended meanwhile."""
    try:
        return read_metrics(attempt.records, "epochs").rows or read_metrics(attempt.records).rows
    except FileNotFoundError:
        # A job removes its records when it publishes its result.
        return {}


def _progress_of_steps(steps: list[int], config: Mapping[str, Any]) -> JobProgress | None:
    """How far a program is that logs metrics by epoch, if its configuration says how many there are."""
    places = [config, *(config[key] for key in ("trainer", "training") if isinstance(config.get(key), Mapping))]
    found = (place[key] for place in places for key in _EPOCH_KEYS if isinstance(place.get(key), int))
    total = next(found, None)
    return None if total is None else JobProgress(min(steps[-1] + 1, total), total, 0.0, steps[-1] + 1, 0.0)


def _watched_metric(config: Mapping[str, Any], rows: Mapping[int, Row]) -> str | None:
    """The metric that the configuration names; else the last one of validation, else the last one."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    monitor, _ = find_monitor(config)
    if monitor in names:
        return monitor
    validation = [name for name in names if name.startswith("val")]
    return next(reversed(validation or names), None)
