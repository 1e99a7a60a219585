"""Calls the function that a study's ``run`` names; finds out whether it came to its end, stopped early or paused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from seedfold.jobs.work import RunInterrupted, RunPaused, Work
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.results.recording.attempt_file import ATTEMPT_VARIABLE, Attempt
from seedfold.results.recording.collect import collect_records
from seedfold.results.recording.metric_log import read_metrics


def call_run(run: Callable[[Work], None], work: Work, recording: Attempt) -> None:
    """Call the run and put what its processes recorded into staging.

    Raises RunInterrupted if one of them says that it stopped early, as it was asked to, and RunPaused if it was asked
    to because it has trained for long enough for now.
    """
    os.environ[ATTEMPT_VARIABLE] = str(recording.write())
    try:
        _run_to_its_end(run, work, recording)
        collect_records(recording, work.staging)
    finally:
        recording.end()
        os.environ.pop(ATTEMPT_VARIABLE, None)  # A program may have cleared its environment.


def _run_to_its_end(run: Callable[[Work], None], work: Work, recording: Attempt) -> None:
    try:
        run(work)
    except SystemExit:
        if not recording.stopped_file.exists():
            raise
    except RunPaused as pause:
        _write_paused(recording, pause.metrics or {})
        raise
    except RunInterrupted:
        _raise_if_paused(recording)
        raise
    if recording.stopped_file.exists():
        _raise_if_paused(recording)
        raise RunInterrupted("stopped early, as it was asked to")


def _raise_if_paused(recording: Attempt) -> None:
    """Raise RunPaused if a program stopped because it had logged the epochs after which it is paused."""
    if recording.pause_after is None or not recording.pause_file.exists():
        return
    rows = list(read_metrics(recording.records).rows.values())[: recording.pause_after]
    metrics: dict[str, float] = {}
    for row in rows:
        metrics |= row
    _write_paused(recording, metrics)
    raise RunPaused(len(rows), metrics)


def _write_paused(recording: Attempt, metrics: Mapping[str, float]) -> None:
    """Leave the metrics of an attempt that is paused where its worker reads them: a message may be too short."""
    write_atomically(recording.paused_file, [json.dumps(dict(metrics))])
