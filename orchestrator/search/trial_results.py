"""Which trials have ended since the last decision, or reached the end of their rung, and with which values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from seedfold.jobs.lazy_dataclasses import dataclass
from seedfold.orchestrator.ledger.search_decisions import Told
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
    found = [_ended(trial, states, settings, is_cancelled) for trial in trials]
    return [told for _, told in sorted((one for one in found if one), key=lambda one: (one[0], one[1].trial))]


def _ended(
    trial: OpenTrial, states: JobStates, settings: SearchSettings, is_cancelled: bool
) -> tuple[float, Told] | None:
    """When a trial ended, and how; None if it has not, or if that is known already."""
    found = {job: states.of(job) for job in trial.jobs}
    if any(_has_failed(job, one, states, is_cancelled) for job, one in found.items()):
        return None if trial.state == "failed" else (_last_event(found), Told(trial.number, "failed"))
    if not all(_has_arrived(one, trial.epochs) for one in found.values()):
        return None
    known = [values_of_job(job, one) for job, one in found.items()]
    values = mean_values(known, settings.metrics)
    if values is None:
        told = Told(trial.number, "failed", reason=_missing_text(settings, known))
        return None if trial.state == "failed" else (_last_event(found), told)
    state = "paused" if any(one.state == "paused" for one in found.values()) else "done"
    epochs = max(epochs_of_job(job, one) for job, one in found.items())
    if state == "done" and settings.halving is not None:
        # Whether it told its epochs, or stopped early: it is the end of the last rung.
        epochs = max(epochs, settings.halving.max)
    return _last_event(found), Told(trial.number, state, epochs, values)


def _missing_text(settings: SearchSettings, known: Sequence[MetricValues]) -> str:
    """Why a trial has no value although its jobs have results."""
    names = ", ".join(list(dict.fromkeys(name for values in known for name in values))[:_MOST_NAMES]) or "none"
    wanted = f"metric {' or '.join(settings.metrics)}" if settings.metrics else "number that it returned"
    return f"no job of the trial has a {wanted}; metrics: {names}"


def _has_failed(job: str, job_state: JobState, states: JobStates, is_cancelled: bool) -> bool:
    if job_state.state == "failed":
        return states.policies.retries_are_exhausted(states.ledger.record_of(job).failures())
    if job_state.state == "blocked":
        return not job_state.has_nothing_to_do
    return job_state.state == "cancelled" and not is_cancelled


def _has_arrived(job_state: JobState, epochs: int | None) -> bool:
    if job_state.state == "paused":
        assert job_state.event is not None
        return epochs is not None and int(job_state.event["epochs"]) >= epochs
    return job_state.state == "done"


def _last_event(found: Mapping[str, JobState]) -> float:
    return max((float(one.event["t"]) for one in found.values() if one.event is not None), default=0.0)


def running_values(
    trials: Iterable[OpenTrial], states: JobStates, settings: SearchSettings
) -> Mapping[int, Mapping[int, tuple[float, ...]]]:
    """The values of running trials by the number of epochs that all of their jobs have had."""
    found = {}
    for trial in trials:
        rows = [_rows(job, states) for job in trial.jobs] if trial.state == "running" else []
        values = {
            epoch + 1: mean_values([job_rows[epoch] for job_rows in rows], settings.metrics)
            for epoch in range(min(map(len, rows), default=0))
        }
        found[trial.number] = {epoch: value for epoch, value in values.items() if value is not None}
    return found


def _rows(job: str, states: JobStates) -> Sequence[Mapping[str, float]]:
    job_state, description = states.of(job), states.job(job)
    if job_state.state not in ACTIVE_STATES or not job_state.attempt or description is None:
        return ()
    return rows_of_running(Attempt(description, job_state.attempt, job_state.holding_study.job_folder(job)))
