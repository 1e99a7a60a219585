"""One job on several devices: here, processes on the CPU that talk through gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_server import training_python

from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict

PROGRAM = """
import json, os, sys
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure, Work
from seedfold.trainers.stages import fit_predict

config, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
count, troubles = int(sys.argv[3]), sys.argv[4].split(",")
fit_predict.device_count = lambda *_: count
job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(gpus=count), "run", "f" * 64)
whole, read = fit_predict._run_rank, []


def troubled(work, ranks):
    trouble = work.staging.name
    if trouble == "killed" and ranks.rank == 1:
        os.kill(os.getpid(), 9)
    if trouble == "raises" and ranks.rank == 1:
        raise DataFailure("row 7 of scans.csv: no such file")
    whole(work, ranks)


fit_predict._run_rank = troubled
for trouble in troubles:
    fit, staging = folder / f"fit_{trouble}", folder / trouble
    staging.mkdir()
    work = Work(job, 1, fit, staging, reads=lambda path: read.append(path.name))
    if trouble == "stopped":
        work = replace(work, stop_requested=(fit / "last.ckpt").exists)
    try:
        fit_predict.run(work)
    except Exception as error:
        print(type(error).__name__, error)
print("read", read)
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    said: str
    folder: Path


Train = Callable[..., Outcome]
ASKED = ("experiment=breast_cancer", "trainer.max_epochs=3")


@pytest.fixture
def train(tmp_path: Path, compose: Callable[..., dict[str, Any]]) -> Train:
    """Train on so many devices, in a program of its own, once for each trouble."""

    def run(count: int, *overrides: str, troubles: str = "none") -> Outcome:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(compose(*ASKED, *overrides)))
        command = [training_python(), "-u", "-c", PROGRAM, str(file), str(tmp_path), str(count), troubles]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=1200, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        return Outcome(ended.returncode, ended.stdout + ended.stderr, tmp_path)

    return run


@pytest.mark.slow
def test_devices_change_no_more_than_rounding_and_predict_each_sample_once(
    train: Train, compose: Callable[..., dict[str, Any]], work: Callable[..., Work]
) -> None:
    plain = ("model.dropout=0", "trainer.batch_size=10", "trainer.eval_batch_size=20")
    read: list[str] = []
    alone = work(compose(*ASKED, *plain), reads=lambda path: read.append(path.name))
    fit_predict.run(alone)
    together = train(3, *plain, "trainer.micro_batch=2")
    assert together.code == 0, together.said
    assert together.said.splitlines()[-1] == f"read {read}", "what the first rank has read is known"
    for split in ("val", "test"):
        one, three = (predictions(folder, split) for folder in (alone.staging, together.folder / "none"))
        assert list(one.index) == list(three.index)
        pd.testing.assert_frame_equal(one, three, atol=1e-3, check_dtype=True)


def predictions(folder: Path, split: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"predictions.{split}.parquet").set_index("sample_id")


@pytest.mark.slow
def test_failure_stop_and_death_of_one_device_are_those_of_the_job(train: Train) -> None:
    """One after the other, in jobs that would go on for long."""
    long = ("trainer.max_epochs=200", "trainer.early_stopping=null")
    ended = train(2, *long, troubles="raises,stopped,killed")
    assert "DataFailure row 7 of scans.csv: no such file" in ended.said
    assert "RunInterrupted stopped" in ended.said
    assert not (ended.folder / "stopped" / "predictions.val.parquet").exists()
    assert (ended.folder / "fit_stopped" / "last.ckpt").exists(), "it is of all devices"
    assert ended.code == -signal.SIGKILL
