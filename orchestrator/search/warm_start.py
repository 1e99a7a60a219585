"""What finished jobs of other studies say about the points of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.search.history import Trial, warm_trials
from seedfold.orchestrator.search.trial_values import mean_values, values_of_job
from seedfold.orchestrator.settings.search import SearchSettings
from seedfold.orchestrator.state.job_states import JobStates


def read_warm_trials(states: JobStates, settings: SearchSettings) -> list[Trial]:
    """The trials that the studies of ``search.warm_start`` stand for. Raises UsageError for one that is not there."""
    rows = [row for name in settings.warm_start for row in _finished(states, name, settings)]
    return warm_trials(settings, rows)


def _finished(
    states: JobStates, name: str, settings: SearchSettings
) -> Sequence[tuple[Mapping[str, Any], tuple[float, ...]]]:
    ledger = Ledger(states.root.existing_study(name))
    others = JobStates(states.root, ledger, states.policies)
    found: dict[str, list[tuple[Mapping[str, Any], tuple[float, ...]]]] = {}
    for job in ledger.plans.current_jobs.values():
        job_state = others.of(job.id)
        values = (
            mean_values([values_of_job(job.id, job_state)], settings.metrics) if job_state.state == "done" else None
        )
        if values is not None:
            found.setdefault(job.stage, []).append((job.axes, values))
    # As in a trial, the last stage counts that has the metrics.
    stage = settings.stage if settings.stage in found else next(reversed(found), None)
    return [] if stage is None else found[stage]
