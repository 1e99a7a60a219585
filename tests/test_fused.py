"""A study whose jobs are trained together, through the real command: its tables are those of jobs alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_server import training_command
from toyproject import SEEDFOLD

from seedfold.orchestrator.ledger.layout import Root, StudyFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ASKED = ("experiment=digits", "size=tiny", "model=mlp", "model._target_=mortal_model.MortalMLP", "study=together")
KILL = "kill-me"
MODEL = f"""
import os, signal
from pathlib import Path
from seedfold.trainers.models.networks import MLP


class MortalMLP(MLP):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        try:
            os.unlink(Path(os.environ["HOME"]) / "{KILL}")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
"""
TOLERANCE = 1e-4


def run(folder: Path, *args: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "mortal_model.py").write_text(MODEL)
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    ended = subprocess.run(
        [training_command(), *args],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def study_of(folder: Path) -> StudyFolder:
    return Root(folder / "runs").study_folder("together")


def results_of(folder: Path) -> dict[str, Any]:
    """The published records by job, and beside each the logits of its test split."""
    found = {}
    for file in sorted(study_of(folder).path.glob("store/*/*/result.json")):
        record = json.loads(file.read_text())
        predictions = pd.read_parquet(file.with_name("predictions.test.parquet"))
        found[record["id"]] = record, predictions.filter(like="logit_")
    return found


def claims_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The processes of the attempts, without the claims that a killed one has left on its fit."""
    files = [file for file in study_of(folder).path.glob("claims/*/*") if not file.name.startswith("fit-")]
    return {file.name: json.loads(file.read_text())["process"] for file in files}


def test_tables_agree_and_a_killed_process_takes_no_result_along(tmp_path: Path) -> None:
    alone, fused, killed = (tmp_path / name for name in ("alone", "fused", "killed"))
    run(alone, "launch", "--wait", *ASKED)
    run(fused, "launch", "--wait", *ASKED, "fuse=4", "cluster.slots=1")
    killed.mkdir()
    (killed / KILL).touch()
    run(killed, "launch", "--wait", *ASKED, "fuse=4", "cluster.slots=1")
    assert sorted(int(name.rpartition(".")[2]) for name in claims_of(killed)) == [1, 1, 1, 1, 2, 2, 2, 2]
    expected = results_of(alone)
    for folder in (fused, killed):
        found = results_of(folder)
        assert found.keys() == expected.keys()
        for job, (record, logits) in found.items():
            assert abs(logits.to_numpy() - expected[job][1].to_numpy()).max() < TOLERANCE
            assert len(record["metrics"]) == len(expected[job][0]["metrics"])
    notes = {record["provenance"]["fused"]["note"] for record, _ in results_of(fused).values()}
    assert notes == {"4 jobs were trained together"}
    assert len({process["pid"] for process in claims_of(fused).values()}) == 1
    assert "4 jobs were trained together" in run(
        fused, "show", "train", "seed=0", "fold=0", "imbalance_ratio=1", "weighting=none"
    )


def test_what_is_to_be_exact_is_not_trained_together(tmp_path: Path) -> None:
    ended = subprocess.run(
        [SEEDFOLD, "launch", "--exact", *ASKED[:3], "fuse=auto"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--exact: jobs of stage train are trained together" in ended.stderr
    assert not (tmp_path / "runs").exists()
