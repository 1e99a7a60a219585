"""Which trials have ended since the last decision, or reached the end of their rung, and with which values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from seedfold.jobs.description import JobDescription
from seedfold.orchestrator.ledger.search_decisions import Told
from seedfold.orchestrator.search.job_fates import JobFates, ranked_jobs
from seedfold.orchestrator.search.trial_values import (
    MetricValues,
    epochs_of_job,
    mean_values,
    rows_of_running,
    values_of_job,
)
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobState, JobStates
from seedfold.results.recording.attempt_file import Attempt

_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial whose jobs train until ``epochs`` are over, or to their end with None."""

    number: int
    jobs: tuple[str, ...]
    epochs: int | None
    state: str


def ended_trials(
    trials: Iterable[OpenTrial], states: JobStates, settings: SearchSettings, *, is_cancelled: bool
) -> list[Told]:
    """Return the results that are new, in the order in which they came.

    Jobs that were cancelled with the whole search (``is_cancelled``) go on later; without it they make a trial fail.
    """
    fates = JobFates(states)
    found = [_ended(trial, states, fates, settings, is_cancelled) for trial in trials]
    return [told for _, told in sorted((one for one in found if one), key=lambda one: (one[0], one[1].trial))]


def _ended(
    trial: OpenTrial, states: JobStates, fates: JobFates, settings: SearchSettings, is_cancelled: bool
) -> tuple[float, Told] | None:
    """When a trial ended, and how; None if it has not, or if that is known already."""
    ends = {fates.of(job) for job in trial.jobs}
    if "failed" in ends or ("cancelled" in ends and not is_cancelled):
        return None if trial.state == "failed" else (_last_event(trial, states), Told(trial.number, "failed"))
    if not ends <= {"done", "idle", "paused"} or any(_is_on_its_way(states.of(job), trial) for job in trial.jobs):
        return None
    jobs = [job for job in map(states.job, trial.jobs) if job is not None]
    if len(jobs) < len(trial.jobs):
        # Its plan has not been read yet.
        return None
    ranked = [job for job in ranked_jobs(jobs, settings) if states.of(job.id).state in ("done", "paused")]
    known = _values_by_stage(ranked, states)
    values = _last_values(known, settings)
    if values is None:
        told = Told(trial.number, "failed", reason=_missing_text(settings, list(chain(*known.values()))))
        return None if trial.state == "failed" else (_last_event(trial, states), told)
    state = "paused" if "paused" in ends else "done"
    epochs = max(epochs_of_job(job.id, states.of(job.id)) for job in ranked)
    if state == "done" and settings.halving is not None:
        # Whether it told its epochs, or stopped early: it is the end of the last rung.
        epochs = max(epochs, settings.halving.max)
    return _last_event(trial, states), Told(trial.number, state, epochs, values)


def _is_on_its_way(job_state: JobState, trial: OpenTrial) -> bool:
    """Whether a job is paused at the end of an earlier rung than the one to which its trial was sent."""
    if job_state.state != "paused":
        return False
    assert job_state.event is not None
    return trial.epochs is None or int(job_state.event["epochs"]) < trial.epochs


def _values_by_stage(jobs: Sequence[JobDescription], states: JobStates) -> dict[str, list[MetricValues]]:
    found: dict[str, list[MetricValues]] = {}
    for job in jobs:
        found.setdefault(job.stage, []).append(values_of_job(job.id, states.of(job.id)))
    return found


def _last_values(known: Mapping[str, Sequence[MetricValues]], settings: SearchSettings) -> tuple[float, ...] | None:
    """The mean values of the last stage that has the metrics."""
    found = (mean_values(values, settings.metrics) for values in reversed(list(known.values())))
    return next((values for values in found if values is not None), None)


def _missing_text(settings: SearchSettings, known: Sequence[MetricValues]) -> str:
    """Why a trial has no value although its jobs have results."""
    names = ", ".join(list(dict.fromkeys(name for values in known for name in values))[:_MOST_NAMES]) or "none"
    wanted = f"metric {' or '.join(settings.metrics)}" if settings.metrics else "number that it returned"
    return f"no job of the trial has a {wanted}; metrics: {names}"


def _last_event(trial: OpenTrial, states: JobStates) -> float:
    events = [states.of(job).event for job in trial.jobs]
    return max((float(event["t"]) for event in events if event is not None), default=0.0)


def running_values(
    trials: Iterable[OpenTrial], states: JobStates, settings: SearchSettings
) -> Mapping[int, Mapping[int, tuple[float, ...]]]:
    """The values of running trials by the number of epochs that all of their jobs have had."""
    found = {}
    for trial in trials:
        jobs = [job for job in map(states.job, trial.jobs) if job is not None and trial.state == "running"]
        rows = [_rows(job, states) for job in ranked_jobs(jobs, settings)]
        values = {
            epoch + 1: mean_values([job_rows[epoch] for job_rows in rows], settings.metrics)
            for epoch in range(min(map(len, rows), default=0))
        }
        found[trial.number] = {epoch: value for epoch, value in values.items() if value is not None}
    return found


def _rows(job: JobDescription, states: JobStates) -> Sequence[Mapping[str, float]]:
    job_state = states.of(job.id)
    if job_state.state not in ACTIVE_STATES or not job_state.attempt:
        return ()
    return rows_of_running(Attempt(job, job_state.attempt, job_state.holding_study.job_folder(job.id)))
