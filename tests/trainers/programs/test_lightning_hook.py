"""An unchanged Lightning script inside a job: its curves, its checkpoints, and what happens after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_server import training_python
from lightning_program import SCRIPT, start_attempt

from seedfold.jobs.work import ConfigFailure
from seedfold.results.recording.metric_log import LoggedMetrics, read_metrics
from seedfold.trainers.programs.lightning_hook import STARTUP_FOLDER, SWITCH, prepare_environment


def make_script(folder: Path) -> Path:
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    return folder


def logged_in(folder: Path) -> LoggedMetrics:
    return read_metrics(folder / "job" / "records")


def weights_in(folder: Path, name: str = "last") -> Any:
    import torch

    # Written by this test; the hyper-parameters that Lightning keeps are plain values.
    file = folder / "job" / "run" / "checkpoints" / f"{name}.ckpt"
    return {key: value.tolist() for key, value in torch.load(file, weights_only=True)["state_dict"].items()}


@pytest.mark.slow
def test_a_script_that_is_killed_twice_ends_with_the_bits_of_one_that_is_not(tmp_path: Path) -> None:
    whole, killed = make_script(tmp_path / "whole"), make_script(tmp_path / "killed")
    assert start_attempt(whole, 1).returncode == 0
    for attempt, epoch in enumerate(("0", "3"), 1):
        ended = start_attempt(killed, attempt, KILL_IN_EPOCH=epoch, python=training_python())
        assert ended.returncode == -signal.SIGKILL
    last = start_attempt(killed, 3, python=training_python())
    assert last.returncode == 0, last.stderr
    assert f"training goes on from {killed}/job/run/checkpoints/last.ckpt" in last.stdout
    assert weights_in(killed) == weights_in(whole)
    assert weights_in(killed, "best") == weights_in(whole, "best")
    assert logged_in(killed) == logged_in(whole)
    assert [*logged_in(whole).rows] == [0, 1, 2, 3, 4]
    assert {*logged_in(whole).rows[2]} == {"train_loss", "val_loss", "val_acc"}
    assert {*logged_in(whole).without_step} == {"test_acc"}
    assert '"lr": 0.1' in (whole / "job" / "records" / "artifacts" / "hparams.json").read_text()
    assert not (whole / "lightning_logs").exists()
    # A job that was killed after its training does not train again.
    again = start_attempt(whole, 2, python=training_python())
    assert "made 20 steps" in again.stdout
    assert weights_in(whole) == weights_in(killed)


def test_the_hook_is_switched_off_by_the_configuration_and_by_the_environment() -> None:
    environment: dict[str, str] = {"PYTHONPATH": "lib"}
    assert prepare_environment({}, environment)
    assert environment["PYTHONPATH"] == f"{STARTUP_FOLDER}{os.pathsep}lib"
    assert not prepare_environment({}, {SWITCH: "off"})
    for off in ("off", False):
        environment = {}
        assert not prepare_environment({"seedfold": {"lightning": off}}, environment)
        assert environment == {SWITCH: "off"}
    with pytest.raises(ConfigFailure, match=r"seedfold\.lightning: 'on' is neither auto nor off"):
        prepare_environment({"seedfold": {"lightning": "on"}}, {})


def test_a_process_of_a_job_runs_the_sitecustomize_that_ours_hides(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('their own')")
    path = os.pathsep.join([str(STARTUP_FOLDER), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": path}
    told = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "their own\n"


def test_the_parts_are_reached_without_importing_torch() -> None:
    code = "import sys, seedfold as sf; sf.lightning.Logger, sf.lightning.Checkpoint; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
