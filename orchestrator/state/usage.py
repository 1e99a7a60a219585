"""What done jobs have used of what they asked for: time, memory, memory of the GPU, and how busy the GPU was.

Ends of jobs hold it since this version. Of jobs that were done before, only the time is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from seedfold.jobs.errors import count_noun
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.ledger import JobRecord, Ledger
from seedfold.orchestrator.settings.selection import Selection
from seedfold.orchestrator.state.imported_predictions import is_import
from seedfold.orchestrator.state.overview import JobView, Overview, unique_by_id

USAGE_COLUMNS = ("stage", "resource", "n", "median", "p95", "max", "request", "share")


@dataclass(frozen=True, slots=True)
class JobUse:
    """What one done job has used. Amounts in seconds, bytes and percent; None where nobody recorded it."""

    stage: str
    run: str
    seconds: float
    memory_bytes: float | None
    gpu_memory_bytes: float | None
    gpu_total_bytes: float | None
    gpu_percent: float | None


def use_of_event(stage: str, run: str, event: Event, record: JobRecord | None = None) -> JobUse:
    """Return what a ``done`` event says, with the time of the attempts from whose checkpoints the job went on."""
    recorded = event.get("usage")
    usage = recorded if isinstance(recorded, dict) else {}
    return JobUse(
        stage=stage,
        run=run,
        seconds=float(event["seconds"]) + (_seconds_before(record) if record else 0.0),
        memory_bytes=_positive(usage.get("memory_bytes")),
        gpu_memory_bytes=_positive(usage.get("gpu_memory_bytes")),
        gpu_total_bytes=_positive(usage.get("gpu_total_bytes")),
        gpu_percent=_number(usage.get("gpu_percent")),
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if is_number else None


def _positive(value: Any) -> float | None:
    return _number(value) or None


def _seconds_before(record: JobRecord) -> float:
    """How long the attempts took that were interrupted, each of which the next one went on from."""
    ended = [(number, event) for number, event in record.last_events.items() if event["e"] == "interrupted"]
    starts = record.start_events
    return sum(max(0.0, float(event["t"] - starts[number]["t"])) for number, event in ended if number in starts)


def uses_in_ledger(ledger: Ledger) -> Iterator[JobUse]:
    """Yield what the jobs have used that a study itself has done."""
    for job_id, event in ledger.done_events():
        job = ledger.plans.jobs.get(job_id)
        if job is not None and not is_import(job):
            yield use_of_event(job.stage, job.run, event, ledger.record_of(job_id))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least this share of them does not exceed (the nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 1000) // 1000)
    return ordered[max(1, rank) - 1]


@dataclass(frozen=True, slots=True)
class _Resource:
    """One resource: its name in tables for programs, what a job used of it, and what it asked for."""

    name: str
    used: Callable[[JobUse], float | None]
    asked: Callable[[JobUse, Resources], float | None]


_RESOURCES = (
    _Resource("time_s", lambda use: use.seconds, lambda use, asked: asked.time_s),
    _Resource("memory_bytes", lambda use: use.memory_bytes, lambda use, asked: asked.memory_bytes),
    _Resource("gpu_memory_bytes", lambda use: use.gpu_memory_bytes, lambda use, asked: use.gpu_total_bytes),
    _Resource("gpu_percent", lambda use: use.gpu_percent, lambda use, asked: 100.0 if asked.gpus else None),
)


@dataclass(frozen=True, slots=True)
class StudyUsage:
    """Rows of `USAGE_COLUMNS` for each stage and resource, with None where nothing is known, and ``notes``."""

    rows: list[dict[str, Any]]
    notes: list[str]


def study_usage(overview: Overview, selection: Selection | None = None) -> StudyUsage:
    """Return what the done jobs of a study used of what they asked for.

    ``p95`` is the 95th percentile of what jobs used, ``request`` the most that one of them asked for, and ``share`` the
    95th percentile of the part that each used of its own request. The request of GPU memory is the memory of the GPU.
    """
    pairs = [
        (_use_of_view(overview, view), _asked_by(overview, view))
        for view in unique_by_id(overview.job_views(selection))
        if view.state == "done" and not is_import(view.job)
    ]
    by_stage: dict[str, list[tuple[JobUse, Resources]]] = {}
    for use, asked in pairs:
        by_stage.setdefault(use.stage, []).append((use, asked))
    rows = [
        _usage_row(stage, resource, used)
        for stage, used in by_stage.items()
        for resource in _RESOURCES
        if not resource.name.startswith("gpu") or any(asked.gpus or use.gpu_memory_bytes for use, asked in used)
    ]
    return StudyUsage(rows, list(_notes(pairs)))


def _use_of_view(overview: Overview, view: JobView) -> JobUse:
    job_state = view.job_state
    assert job_state.event is not None
    is_own = job_state.holding_study == overview.folder
    record = overview.ledger.record_of(view.job.id) if is_own else None
    return use_of_event(view.job.stage, view.job.run, job_state.event, record)


def _asked_by(overview: Overview, view: JobView) -> Resources:
    """What a job asked a scheduler for, which is more after some failures; on this machine what its plan says."""
    submission = overview.ledger.last_submission_of.get(view.job.id)
    return view.job.resources if submission is None or submission.array is None else submission.array.resources


def _usage_row(stage: str, resource: _Resource, used: Sequence[tuple[JobUse, Resources]]) -> dict[str, Any]:
    known = [(amount, resource.asked(use, asked)) for use, asked in used if (amount := resource.used(use)) is not None]
    amounts = [amount for amount, _ in known]
    shares = [amount / asked for amount, asked in known if asked]
    requests = [asked for use, one in used if (asked := resource.asked(use, one))]
    return {
        "stage": stage,
        "resource": resource.name,
        "n": len(amounts),
        "median": percentile(amounts, 0.5) if amounts else None,
        "p95": percentile(amounts, 0.95) if amounts else None,
        "max": max(amounts, default=None),
        "request": max(requests, default=None),
        "share": percentile(shares, 0.95) if shares else None,
    }


def _notes(pairs: Sequence[tuple[JobUse, Resources]]) -> Iterator[str]:
    without = sum(use.memory_bytes is None for use, _ in pairs)
    if without:
        jobs = count_noun(without, "job was", "jobs were")
        yield f"{jobs} done by a version that did not record memory: only the time of these jobs is known"
    on_gpu = [use for use, asked in pairs if asked.gpus and use.memory_bytes is not None]
    if any(use.gpu_percent is None for use in on_gpu):
        yield (
            "how busy GPUs were is known only where the package nvidia-ml-py is installed, and for jobs that took more"
            " than a few seconds"
        )
