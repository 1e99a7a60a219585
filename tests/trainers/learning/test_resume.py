"""Killed at any instant and started again, a job publishes the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict
from seedfold.trainers.studies.sample_data import make

PROGRAM = Path(__file__).parents[1] / "resume_program.py"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

Killed = Callable[..., dict[str, Any]]


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    """Run a configuration whole and with kills; return the record, with the published files of both."""

    def run(
        config: dict[str, Any], *, fewest: int, most: int, longest: float, seed: int = 0, ranks: int = 1
    ) -> dict[str, Any]:
        (tmp_path / "config.json").write_text(json.dumps(config))
        arguments = [tmp_path / "config.json", tmp_path, fewest, most, seed, longest, ranks]
        program = [sys.executable, str(PROGRAM), *map(str, arguments)]
        subprocess.run(program, check=True, env={**os.environ, **ONE_THREAD}, cwd=tmp_path)
        record: dict[str, Any] = json.loads((tmp_path / "record.json").read_text())
        for name in ("whole", "killed"):
            record[name] = {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}
        return record

    return run


@pytest.mark.slow
def test_kills_change_no_bit_and_neither_does_the_fork(
    compose: Callable[..., dict[str, Any]],
    work: Callable[..., Work],
    results: Callable[[Work], dict[str, bytes]],
    killed: Killed,
) -> None:
    config = compose(
        "experiment=breast_cancer", "trainer.batch_size=8", "trainer.max_epochs=8", "schedule.patience=1",
        "checkpoint.every_seconds=0.01", "trainer.early_stopping.patience=3",
    )  # fmt: skip
    record = killed(config, fewest=5, most=5, longest=0.25)
    assert record["killed"] == record["whole"]
    assert len(record["whole"]) == 3
    assert record["threads"] == 1, "a process with threads cannot be forked safely"
    job = work(config)
    fit_predict.run(job)
    assert results(job) == record["whole"]


@pytest.mark.slow
def test_many_kills_of_a_network_with_every_kind_of_randomness(
    compose: Callable[..., dict[str, Any]], killed: Killed
) -> None:
    config = compose(
        "experiment=digits", "trainer.max_epochs=16", "augment=shift", "sampling=balanced", "trainer.accumulate=2",
        "optimizer=sgd", "sampling.imbalance_ratio=3", "checkpoint.every_seconds=0.02",
    )  # fmt: skip
    record = killed(config, fewest=5, most=20, longest=0.3, seed=1)
    assert record["killed"] == record["whole"]


@pytest.mark.slow
def test_kills_change_no_bit_where_heads_have_best_epochs_of_their_own(
    compose: Callable[..., dict[str, Any]], killed: Killed, tmp_path: Path
) -> None:
    make("mgmt", tmp_path / "data", "tiny")
    config = compose(
        "experiment=mgmt", "size=tiny", f"paths.data={tmp_path}/data", "trainer.max_epochs=5", "model.blocks=[1,1,1]",
        "model.dropout=0.2", "checkpoint.every_seconds=0.02",
    )  # fmt: skip
    record = killed(config, fewest=3, most=8, longest=0.4)
    assert record["killed"] == record["whole"]
    fit = json.loads((tmp_path / "fit_whole" / "fit.json").read_text())
    assert len({own["epoch"] for own in fit["heads"].values()}) > 1


@pytest.mark.slow
def test_kills_change_no_bit_on_several_devices(compose: Callable[..., dict[str, Any]], killed: Killed) -> None:
    config = compose(
        "experiment=breast_cancer", "trainer.batch_size=8", "trainer.max_epochs=8", "checkpoint.every_seconds=0.02",
        "trainer.early_stopping.patience=3",
    )  # fmt: skip
    record = killed(config, fewest=3, most=3, longest=0.4, ranks=2)
    assert record["killed"] == record["whole"]
