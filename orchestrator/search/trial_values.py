"""The values of a trial's metrics, from what its jobs have published or logged."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from statistics import fmean

from seedfold.orchestrator.state.job_states import JobState
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.metric_log import Row, read_metrics
from seedfold.results.store.published import HISTORY_FILE, RETURNED, MetricRecord, load_result

RETURNED_VALUE = "value"
"""The name of the number that the function of a program returned."""
MetricValues = Mapping[str, float]
"""Values by the names under which a study may ask for them: ``val/accuracy``, ``val/HEAD/accuracy``, ``loss``."""


def values_of_job(job_id: str, job_state: JobState) -> MetricValues:
    """The metrics of a job that is done, or that is paused: those of its last epoch."""
    assert job_state.event is not None
    if job_state.state == "paused":
        return dict(job_state.event["metrics"])
    result = load_result(job_state.holding_study.result_folder(job_id, job_state.attempt))
    return _by_name(result.metrics)


def _by_name(records: Iterable[MetricRecord]) -> MetricValues:
    """Metrics by name; where several heads have one, the name without a head is their mean."""
    found: dict[str, list[float]] = {}
    for record in records:
        value = nan if record["value"] is None else float(record["value"])
        split, head, metric = record["split"], record["head"], record["metric"]
        names = [metric] if split == RETURNED else [f"{split}/{metric}", f"{split}/{head}/{metric}"]
        for name in names:
            found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in found.items()}


def epochs_of_job(job_id: str, job_state: JobState) -> int:
    """For how many epochs a job was trained that is done or paused; 0 for a training without epochs."""
    assert job_state.event is not None
    if job_state.state == "paused":
        return int(job_state.event["epochs"])
    if HISTORY_FILE not in job_state.event["files"]:
        return 0
    file = job_state.holding_study.result_folder(job_id, job_state.attempt) / HISTORY_FILE
    with file.open(newline="", encoding="utf-8") as lines:
        return sum(1 for _ in csv.DictReader(lines))


def mean_values(found: Sequence[MetricValues], names: Sequence[str]) -> tuple[float, ...] | None:
    """The mean of each metric over the jobs that have all of them; None if no job has.

    Without names, it is the number that a program returned.
    """
    chosen = [[_value_of(values, name) for name in names or (RETURNED_VALUE,)] for values in found]
    whole = [[value for value in row if value is not None] for row in chosen if None not in row]
    return tuple(fmean(column) for column in zip(*whole, strict=True)) or None


def _value_of(values: MetricValues, name: str) -> float | None:
    """The value of a metric, which tables name ``val.accuracy`` and who logs it ``val/accuracy``."""
    return values.get(name, values.get(name.replace(".", "/")))


def rows_of_running(attempt: Attempt) -> Sequence[Row]:
    """The metrics of each epoch of a running job so far."""
    rows = read_metrics(attempt.records, "epochs").rows or read_metrics(attempt.records).rows
    return list(rows.values())
