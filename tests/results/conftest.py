from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import write_predictions
from seedfold.results.store.published import RUN_METRICS_FILE, publish

Split = tuple[Sequence[str], np.ndarray | None, Mapping[str, np.ndarray]]
MakeRun = Callable[..., FinishedJob]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Publish a run: axes, and (ids, targets, logits by head) by split; and ``metrics`` besides."""

    attempts = count(1)

    def make(axes: Mapping[str, Any], splits: Mapping[str, Split] | None = None, **changes: Any) -> FinishedJob:
        stage, seconds, epochs = changes.get("stage", "train"), changes.get("seconds", 2.0), changes.get("epochs")
        job = hashlib.sha256(canonical_json([stage, dict(axes)]).encode()).hexdigest()
        description = JobDescription(job, "study", stage, axes, dict(axes), (), Resources(), "a.b", job)
        attempt = next(attempts)
        staging, final = tmp_path / "staging" / job, tmp_path / "store" / job[:2] / f"{job}.{attempt}"
        staging.mkdir(parents=True)
        for split, (ids, targets, logits) in (splits or {}).items():
            write_predictions(
                staging, split, job=description, sample_ids=ids, targets=targets, logits=logits, expected=ids
            )
        if "metrics" in changes:
            rows = [dict(zip(("split", "head", "metric", "value"), row, strict=True)) for row in changes["metrics"]]
            (staging / RUN_METRICS_FILE).write_text(json.dumps(rows))
        if epochs is not None:
            epochs.to_csv(staging / "epochs.csv", index=False)
        record = {"id": job, "study": "study", "stage": stage, "axes": axes, "attempt": attempt, "run": "a.b"}
        record |= {"config": dict(axes), "parents": {}, "reads": {}, "code": "", "provenance": {"host": "node1"}}
        publish(staging, final, {**record, "started": 10.0, "ended": 10.0 + seconds})
        return FinishedJob(job, "study", stage, axes, attempt, final, changes.get("stale"))

    return make


@pytest.fixture
def make_cross_validation(make_run: MakeRun) -> Callable[..., list[FinishedJob]]:
    """Publish seeds, folds and further axes of a task of 3 classes: ``n`` samples cut into folds, 10 test samples."""

    def make(seeds: Sequence[int] = (0, 1), folds: int = 3, n: int = 30, **axes: Sequence[Any]) -> list[FinishedJob]:
        draw = np.random.default_rng(5)
        truth, ids = np.arange(n) // folds % 3, np.array([f"s{i:03d}" for i in range(n)])
        test = ([f"t{i}" for i in range(10)], np.arange(10) % 3)
        points: list[dict[str, Any]] = [{}]
        for name, values in axes.items():
            points = [{**point, name: value} for point in points for value in values]
        runs = []
        for point in points:
            for seed in seeds:
                for fold in range(folds):
                    rows = np.arange(fold, n, folds)
                    logits = draw.normal(size=(len(rows), 3)) + np.eye(3)[truth[rows]]
                    val = (list(ids[rows]), truth[rows], {"main": logits})
                    splits = {"val": val, "test": (*test, {"main": draw.normal(size=(10, 3))})}
                    runs.append(make_run({**point, "seed": seed, "fold": fold}, splits))
        return runs

    return make
