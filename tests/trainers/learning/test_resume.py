"""Killed at any instant and started again, a job publishes the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_server import training_python

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


def kill(config: dict[str, Any], fewest: int, most: int, longest: float, **others: int) -> dict[str, Any]:
    """A case of the program; others are ``seed`` and ``ranks``."""
    return {"config": config, "fewest": fewest, "most": most, "longest": longest, "seed": 0, "ranks": 1, **others}


def run_cases(folder: Path, cases: dict[str, dict[str, Any]]) -> None:
    """Run configurations whole and with kills, all in one program: its imports take longer than a case."""
    (folder / "cases.json").write_text(json.dumps(cases))
    program = [training_python(), PROGRAM, folder]
    subprocess.run(program, check=True, env={**os.environ, **ONE_THREAD}, cwd=folder)


def published(folder: Path) -> dict[str, bytes]:
    """The published files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_kills_change_no_bit_and_neither_does_the_fork(
    compose: Callable[..., dict[str, Any]],
    work: Callable[..., Work],
    results: Callable[[Work], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    make("mgmt", tmp_path / "data", "tiny")
    plain = compose(
        "experiment=breast_cancer", "trainer.batch_size=8", "trainer.max_epochs=8", "schedule.patience=1",
        "checkpoint.every_seconds=0.01", "trainer.early_stopping.patience=3",
    )  # fmt: skip
    every_kind_of_randomness = compose(
        "experiment=digits", "trainer.max_epochs=8", "augment=shift", "sampling=balanced", "trainer.accumulate=2",
        "optimizer=sgd", "sampling.imbalance_ratio=3", "checkpoint.every_seconds=0.02",
    )  # fmt: skip
    heads_with_best_epochs_of_their_own = compose(
        "experiment=mgmt", "size=tiny", f"paths.data={tmp_path}/data", "trainer.max_epochs=5", "model.blocks=[1,1,1]",
        "model.dropout=0.2", "checkpoint.every_seconds=0.02",
    )  # fmt: skip
    several_devices = compose(
        "experiment=breast_cancer", "trainer.batch_size=8", "trainer.max_epochs=8", "checkpoint.every_seconds=0.02",
        "trainer.early_stopping.patience=3",
    )  # fmt: skip
    cases = {
        "plain": kill(plain, 5, 5, 0.25),
        "random": kill(every_kind_of_randomness, 5, 20, 0.3, seed=1),
        "heads": kill(heads_with_best_epochs_of_their_own, 3, 8, 0.4),
        "devices": kill(several_devices, 3, 3, 0.4, ranks=2),
    }
    run_cases(tmp_path, cases)
    for case in cases:
        assert published(tmp_path / case / "killed") == published(tmp_path / case / "whole"), case
    assert len(published(tmp_path / "plain" / "whole")) == 3
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["threads"] == 1, "a process with threads cannot be forked safely"
    fit = json.loads((tmp_path / "heads" / "fit_whole" / "fit.json").read_text())
    assert len({own["epoch"] for own in fit["heads"].values()}) > 1
    job = work(plain)
    fit_predict.run(job)
    assert results(job) == published(tmp_path / "plain" / "whole")
