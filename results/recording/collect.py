"""At the end of an attempt, what the job recorded while it ran becomes a part of its result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from math import isnan
from pathlib import Path
from typing import Any

from seedfold.jobs.work import OUTPUTS, DataFailure
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.recording.current_run import ARTIFACTS, PREDICTIONS
from seedfold.results.recording.metric_log import LoggedMetrics, read_metrics
from seedfold.results.store.published import HISTORY_FILE, RETURNED, RUN_METRICS_FILE, MetricRecord

STEP_COLUMN = "epoch"


def collect_records(attempt: Attempt, staging: Path) -> None:
    """Put logged metrics, predictions and artifacts into ``staging``, beside what the run left there itself.

    Raises DataFailure where both wrote the same split or the same column of the learning curves.
    """
    if not attempt.records.is_dir():
        return
    logged = read_metrics(attempt.records)
    if logged.rows:
        _write_history(staging / HISTORY_FILE, logged)
    if logged.last:
        _add_metrics(staging, [*_last_records(logged), *_best_records(logged, attempt.description.config)])
    _write_predictions(attempt, staging)
    if (attempt.records / ARTIFACTS).is_dir():
        shutil.copytree(attempt.records / ARTIFACTS, staging / OUTPUTS, dirs_exist_ok=True)


def _write_history(file: Path, logged: LoggedMetrics) -> None:
    import csv

    rows: dict[int, dict[str, Any]] = {}
    columns = [STEP_COLUMN]
    if file.exists():
        with file.open(newline="") as written:
            reader = csv.DictReader(written)
            rows = {int(row[STEP_COLUMN]): dict(row) for row in reader}
            columns = list(reader.fieldnames or columns)
    twice = sorted(set(columns) & set(logged.names))
    if twice:
        raise DataFailure(f"metric {twice[0]}: is logged, and the trainer has one of this name; give it another name")
    for step, values in logged.rows.items():
        rows.setdefault(step, {STEP_COLUMN: step}).update(values)
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=[*columns, *logged.names])
        writer.writeheader()
        writer.writerows(row for _, row in sorted(rows.items()))


def _last_records(logged: LoggedMetrics) -> list[MetricRecord]:
    return [_make_record(name, value) for name, value in logged.last.items()]


def _make_record(name: str, value: float) -> MetricRecord:
    """Return a metric of its split: the part of its name before the first slash, if there is one."""
    split, slash, metric = name.partition("/")
    if not slash:
        return MetricRecord(split=RETURNED, head=RETURNED, metric=name, value=value)
    return MetricRecord(split=split, head="main", metric=metric, value=value)


def _best_records(logged: LoggedMetrics, config: Mapping[str, Any]) -> list[MetricRecord]:
    """Return the best value, and its step, of the metric that the configuration names as ``monitor``."""
    monitor, mode = find_monitor(config)
    values = {step: row[monitor] for step, row in logged.rows.items() if monitor in row}
    finite = {step: value for step, value in values.items() if not isnan(value)}
    if monitor is None or not finite:
        return []
    best = (max if mode == "max" else min)(finite, key=lambda step: finite[step])
    return [_make_record(f"{monitor}_best", finite[best]), _make_record(f"{monitor}_best_step", float(best))]


def find_monitor(config: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the metric to watch, and whether it is best at its max or min; errors and losses are best at their min."""
    trainer = config.get("trainer")
    places = [config, *([trainer] if isinstance(trainer, Mapping) else [])]
    for place in places:
        monitor = place.get("monitor")
        if isinstance(monitor, str):
            lower_is_better = any(word in monitor.lower() for word in ("loss", "error", "rmse", "mae", "mse", "brier"))
            return monitor, str(place.get("monitor_mode") or ("min" if lower_is_better else "max"))
    return None, "max"


def _add_metrics(staging: Path, records: Iterable[MetricRecord]) -> None:
    file = staging / RUN_METRICS_FILE
    own: list[MetricRecord] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    known = {(record["split"], record["head"], record["metric"]) for record in own}
    new = [record for record in records if (record["split"], record["head"], record["metric"]) not in known]
    file.write_text(json.dumps([*own, *new]), encoding="utf-8")


def _write_predictions(attempt: Attempt, staging: Path) -> None:
    folder = attempt.records / PREDICTIONS
    if not folder.is_dir():
        return
    from seedfold.results.recording.prediction_parts import read_parts, to_arrays
    from seedfold.results.store.predictions import write_predictions

    for split, heads in read_parts(folder).items():
        ids, targets, logits = to_arrays(heads, split)
        job = attempt.description
        write_predictions(staging, split, job=job, sample_ids=ids, targets=targets, logits=logits, expected=ids)


def remove_records(attempt: Attempt) -> None:
    """Remove what was recorded, when the result is published; the program's own folder stays."""
    shutil.rmtree(attempt.records, ignore_errors=True)
