"""A study whose jobs are trained together, through the real command: its tables are those of jobs alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toyproject import SEEDFOLD, wait_until

from seedfold.orchestrator.ledger.layout import Root, StudyFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ASKED = ("experiment=digits", "size=tiny", "model=mlp", "study=together")
TOLERANCE = 1e-4


def run(folder: Path, *args: str) -> str:
    folder.mkdir(exist_ok=True)
    own = {"SEEDFOLD_ROOT": str(folder / "runs"), "HOME": str(folder), "TMPDIR": str(folder)}
    ended = subprocess.run(
        [SEEDFOLD, *args], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=600
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
    files = study_of(folder).path.glob("claims/*/*")
    return {file.name: json.loads(file.read_text())["process"] for file in files}


def test_tables_agree_and_a_killed_process_takes_no_result_along(tmp_path: Path) -> None:
    alone, fused, killed = (tmp_path / name for name in ("alone", "fused", "killed"))
    run(alone, "launch", "--wait", *ASKED)
    run(fused, "launch", "--wait", *ASKED, "fuse=4", "cluster.slots=1")
    _kill_group(killed)
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


def _kill_group(folder: Path) -> None:
    """Kill the process in which the jobs are trained together; the worker has each of them go on alone."""
    run(folder, "launch", "--detach", *ASKED, "fuse=4", "cluster.slots=1")
    wait_until(lambda: len(claims_of(folder)) == 4)
    os.kill(next(iter(claims_of(folder).values()))["pid"], signal.SIGKILL)
    wait_until(lambda: json.loads(run(folder, "status", "together", "--json"))["states"]["done"] == 4)
    assert len(claims_of(folder)) == 8


def test_what_is_to_be_exact_is_not_trained_together(tmp_path: Path) -> None:
    ended = subprocess.run(
        [SEEDFOLD, "launch", "--exact", *ASKED, "fuse=auto"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--exact: jobs of stage train are trained together" in ended.stderr
    assert not (tmp_path / "runs").exists()
