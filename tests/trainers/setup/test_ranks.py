"""One job on several devices: here, processes on the CPU that talk through gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

PROGRAM = """
import json, os, sys
from dataclasses import replace
from pathlib import Path

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure, Work
from seedfold.trainers.stages import fit_predict

config, staging = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
count, trouble = int(sys.argv[3]), sys.argv[4]
fit_predict.device_count = lambda *_: count
job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(gpus=count), "run", "f" * 64)
read, fit = [], staging.parent / "fit"
staging.mkdir()


def troubled(work, ranks):
    if trouble == "killed" and ranks.rank == 1:
        os.kill(os.getpid(), 9)
    if trouble == "raises" and ranks.rank == 1:
        raise DataFailure("row 7 of scans.csv: no such file")
    whole(work, ranks)


whole, fit_predict._run_rank = fit_predict._run_rank, troubled
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

    def predictions(self, split: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"predictions.{split}.parquet").set_index("sample_id")


Train = Callable[..., Outcome]


@pytest.fixture
def train(tmp_path: Path, compose: Callable[..., dict[str, Any]]) -> Train:
    """Train on so many devices, in a program of its own."""

    def run(count: int, *overrides: str, name: str = "staging", trouble: str = "none") -> Outcome:
        file, folder = tmp_path / "config.json", tmp_path / f"{name}{count}" / "staging"
        folder.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(compose("experiment=breast_cancer", "trainer.max_epochs=3", *overrides)))
        command = [sys.executable, "-c", PROGRAM, str(file), str(folder), str(count), trouble]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=1200, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        return Outcome(ended.returncode, ended.stdout + ended.stderr, folder)

    return run


@pytest.mark.slow
def test_devices_change_no_more_than_rounding_and_predict_each_sample_once(train: Train) -> None:
    plain = ("model.dropout=0", "trainer.batch_size=10", "trainer.eval_batch_size=20")
    alone, together = train(1, *plain), train(3, *plain, "trainer.micro_batch=2")
    assert alone.code == together.code == 0, together.said
    assert alone.said.splitlines()[-1] == together.said.splitlines()[-1], "what the first rank has read is known"
    for split in ("val", "test"):
        one, three = alone.predictions(split), together.predictions(split)
        assert list(one.index) == list(three.index)
        pd.testing.assert_frame_equal(one, three, atol=1e-3, check_dtype=True)


@pytest.mark.slow
def test_failure_of_one_device_is_the_failure_of_the_job(train: Train) -> None:
    failed = train(2, trouble="raises")
    assert "DataFailure row 7 of scans.csv: no such file" in failed.said
    assert train(2, name="other", trouble="killed").code == -signal.SIGKILL


@pytest.mark.slow
def test_stop_leaves_a_checkpoint_of_all_devices(train: Train) -> None:
    stopped = train(2, "trainer.max_epochs=200", "trainer.early_stopping=null", trouble="stopped")
    assert "RunInterrupted stopped" in stopped.said
    assert not (stopped.folder / "predictions.val.parquet").exists()
    assert (stopped.folder.parent / "fit" / "last.ckpt").exists()
